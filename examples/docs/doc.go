// Package docs has no code. Its test compiles the Go code in README.md and MIGRATION.md.
package docs
