// Package deploy contains deployments of three mailfront nodes behind HAProxy, with a shared
// store, for Docker Compose (compose.yaml) and Kubernetes (kubernetes.yaml), and a Dockerfile.
//
// Its test compares the files with the settings of mailfront and with the configuration of
// the proxy. It does not start containers.
package deploy
