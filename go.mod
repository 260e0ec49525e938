module github.com/seed-94e48765/portico

go 1.25.0

require (
	github.com/pires/go-proxyproto v0.8.0
	github.com/stretchr/testify v1.8.0
	golang.org/x/net v0.23.0
)

require (
	github.com/davecgh/go-spew v1.1.1 // indirect
	github.com/pmezard/go-difflib v1.0.0 // indirect
	golang.org/x/text v0.14.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)
