// Package deploy has three mailfront nodes behind HAProxy, with a store that they share,
// for Docker Compose (compose.yaml) and Kubernetes (kubernetes.yaml), and a Dockerfile.
//
// Its test compares the files with the settings of mailfront and with the configuration of
// the proxy. It does not start containers.
package deploy
