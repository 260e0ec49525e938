// Package docs has no code. Its tests compile the Go code in README.md and MIGRATION.md, and
// check the links to files. They are in the module of these pages because go test caches
// results and notices changed files only there.
package docs
