package deploy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// composeFile is the part of Compose's format that compose.yaml uses.
type composeFile struct {
	Node     any `yaml:"x-node"`
	Services map[string]struct {
		Image       string
		Restart     string
		ReadOnly    bool     `yaml:"read_only"`
		CapDrop     []string `yaml:"cap_drop"`
		Grace       string   `yaml:"stop_grace_period"`
		Networks    []string
		DependsOn   []string `yaml:"depends_on"`
		EnvFile     []string `yaml:"env_file"`
		Environment map[string]string
		Volumes     []string
		Ports       []string
		Command     []string
		User        string
	}
	Networks map[string]struct {
		IPAM struct {
			Config []struct{ Subnet string }
		} `yaml:"ipam"`
	}
	Volumes map[string]any
}

// envFileNames finds the names that a file of env_file has, in the comment on its line.
var envFileNames = regexp.MustCompile(`env_file: \[(\S+)\] # (.*)`)

// readCompose returns the deployment of compose.yaml. Unknown members are an error.
func readCompose(text string) (*deployment, error) {
	var f composeFile
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&f); err != nil {
		return nil, err
	}
	inFile := make(map[string][]string)
	for _, m := range envFileNames.FindAllStringSubmatch(text, -1) {
		inFile[m[1]] = strings.Split(m[2], ", ")
	}
	secrets := func(files []string) (names []string) {
		for _, file := range files {
			names = append(names, inFile[file]...)
		}
		return names
	}
	d := &deployment{published: make(map[string]string)}
	proxy := f.Services["proxy"]
	d.proxy, d.proxyName = proxy.Environment, []string{"proxy"}
	for _, port := range proxy.Ports {
		public, inner, _ := strings.Cut(port, ":")
		d.published[public] = inner
	}
	if !slices.Contains(proxy.Volumes, "../proxies/haproxy/load-balanced.cfg:/usr/local/etc/haproxy/haproxy.cfg:ro") {
		d.problems = append(d.problems, "proxy: it has another configuration")
	}
	var names []string
	for name, s := range f.Services {
		switch {
		case s.Image == "mailfront:local":
			names = append(names, name)
		case name != "proxy" && name != "store":
			d.problems = append(d.problems, fmt.Sprintf("the service %q is unknown", name))
		}
	}
	slices.Sort(names)
	for _, name := range names {
		s := f.Services[name]
		grace, err := time.ParseDuration(s.Grace)
		if err != nil {
			return nil, fmt.Errorf("%s: stop_grace_period: %w", name, err)
		}
		if !slices.Equal(s.Networks, []string{"back"}) || !slices.Contains(proxy.Networks, "back") {
			d.problems = append(d.problems, name+": the networks differ from the proxy's")
		}
		d.nodes = append(d.nodes, node{name: name, env: s.Environment, secret: secrets(s.EnvFile), image: s.Image, grace: grace, open: s.Ports})
		d.nodeNames = append(d.nodeNames, name)
	}
	if config := f.Networks["back"].IPAM.Config; len(config) == 1 {
		d.subnet = config[0].Subnet
	}
	st := f.Services["store"]
	d.store = store{command: strings.Join(st.Command, " "), open: st.Ports, env: st.Environment, secret: secrets(st.EnvFile)}
	if !slices.Equal(st.Networks, []string{"back"}) || !slices.Contains(st.Volumes, "store:/data") {
		d.problems = append(d.problems, "store: it is on another network, or keeps nothing")
	}
	return d, nil
}
