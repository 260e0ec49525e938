// Package docs has no code. Its test compiles the Go code in README.md and MIGRATION.md.
// It is in their module because go test caches results and notices changed files only there.
package docs
