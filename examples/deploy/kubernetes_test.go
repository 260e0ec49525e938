package deploy

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// object is the part of Kubernetes' formats that the check uses.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		Replicas    int
		ServiceName string `yaml:"serviceName"`
		Template    struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				Grace      int `yaml:"terminationGracePeriodSeconds"`
				Containers []container
				Volumes    []map[string]any
			}
		}
		Selector       map[string]any
		ClusterIP      string `yaml:"clusterIP"`
		Type           string
		TrafficPolicy  string `yaml:"externalTrafficPolicy"`
		NotReady       bool   `yaml:"publishNotReadyAddresses"`
		Ports          servicePorts
		PodSelector    podSelector `yaml:"podSelector"`
		PolicyTypes    []string    `yaml:"policyTypes"`
		MaxUnavailable int         `yaml:"maxUnavailable"`
		Ingress        []struct {
			From []struct {
				PodSelector podSelector `yaml:"podSelector"`
			}
			Ports []port
		}
	}
}

type podSelector struct {
	MatchLabels map[string]string `yaml:"matchLabels"`
}

type container struct {
	Image   string
	Command []string
	Env     []struct {
		Name, Value string
		ValueFrom   struct {
			SecretKeyRef struct{ Name, Key string } `yaml:"secretKeyRef"`
		} `yaml:"valueFrom"`
	}
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	Readiness probe `yaml:"readinessProbe"`
	Liveness  probe `yaml:"livenessProbe"`
}

type probe struct {
	HTTPGet struct {
		Path string
		Port int
	} `yaml:"httpGet"`
	TCPSocket struct{ Port int } `yaml:"tcpSocket"`
}

type port struct {
	Name       string
	Port       int
	TargetPort int `yaml:"targetPort"`
}

type servicePorts []port

func (s servicePorts) byName() map[string]int {
	ports := make(map[string]int)
	for _, p := range s {
		ports[p.Name] = p.Port
	}
	return ports
}

// get finds an object.
func (o *object) get(kind, name string, all []object) error {
	for _, c := range all {
		if c.Kind == kind && c.Metadata.Name == name {
			*o = c
			return nil
		}
	}
	return fmt.Errorf("there is no %s %q", kind, name)
}

const clusterDomain = ".mail.svc.cluster.local"

// readKubernetes returns the deployment of kubernetes.yaml.
func readKubernetes(text string) (*deployment, error) {
	var all []object
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var o object
		err := decoder.Decode(&o)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	var nodes, nodeService, proxy, proxyService, public, st, storeService, nodePolicy, storePolicy, budget object
	if err := errors.Join(
		nodes.get("StatefulSet", "node", all), nodeService.get("Service", "nodes", all), budget.get("PodDisruptionBudget", "nodes", all),
		proxy.get("Deployment", "proxy", all), proxyService.get("Service", "proxies", all), public.get("Service", "mail", all),
		st.get("StatefulSet", "store", all), storeService.get("Service", "store", all),
		nodePolicy.get("NetworkPolicy", "nodes", all), storePolicy.get("NetworkPolicy", "store", all),
	); err != nil {
		return nil, err
	}
	d := &deployment{published: make(map[string]string)}
	report := func(format string, args ...any) { d.problems = append(d.problems, fmt.Sprintf(format, args...)) }

	c := nodes.Spec.Template.Spec.Containers[0]
	env, secret := c.environment(report)
	for i := range nodes.Spec.Replicas {
		name := fmt.Sprintf("%s-%d", nodes.Metadata.Name, i)
		d.nodes = append(d.nodes, node{name: name, env: env, secret: secret, image: c.Image, grace: time.Duration(nodes.Spec.Template.Spec.Grace) * time.Second})
		d.nodeNames = append(d.nodeNames, name+"."+nodes.Spec.ServiceName+clusterDomain)
	}
	wanted := make(map[string]int) // of the listeners
	for name, value := range env {
		if listener, ok := strings.CutPrefix(name, "MAILFRONT_LISTEN_"); ok {
			_, number, _ := strings.Cut(value, ":")
			wanted[strings.ToLower(listener)], _ = strconv.Atoi(number)
		}
	}
	if have := c.ports(); !maps.Equal(have, wanted) {
		report("ports: the container has %v, and the listeners %v", have, wanted)
	}
	if have := nodeService.Spec.Ports.byName(); !maps.Equal(have, wanted) {
		report("ports: the Service nodes has %v, and the listeners %v", have, wanted)
	}
	if have, want := nodePolicy.allowed(), slices.Sorted(maps.Values(wanted)); !slices.Equal(have, want) {
		report("ports: the NetworkPolicy nodes allows %v, want %v", have, want)
	}
	for path, p := range map[string]probe{"/healthz/ready": c.Readiness, "/healthz/live": c.Liveness} {
		if p.HTTPGet.Path != path || p.HTTPGet.Port != wanted["health"] {
			report("probes: %s at port %d, want %s at port %d", p.HTTPGet.Path, p.HTTPGet.Port, path, wanted["health"])
		}
	}
	label := func(o object) map[string]string { return o.Spec.Template.Metadata.Labels }
	if nodeService.Spec.ClusterIP != "None" || !nodeService.Spec.NotReady || nodes.Spec.ServiceName != nodeService.Metadata.Name || !selects(nodeService, label(nodes)) {
		report("the Service nodes does not have the names of all nodes")
	}
	if budget.Spec.MaxUnavailable != 1 {
		report("more than one node may end at the same time")
	}
	for _, p := range []struct {
		policy   object
		of, from map[string]string
	}{{policy: nodePolicy, of: label(nodes), from: label(proxy)}, {policy: storePolicy, of: label(st), from: label(nodes)}} {
		if !p.policy.isOnlyFrom(p.of, p.from) {
			report("the NetworkPolicy %s lets others than %v in", p.policy.Metadata.Name, p.from)
		}
	}

	pc := proxy.Spec.Template.Spec.Containers[0]
	d.proxy, _ = pc.environment(report)
	if proxyService.Spec.ClusterIP == "None" && proxyService.Spec.NotReady && selects(proxyService, label(proxy)) {
		d.proxyName = []string{proxyService.Metadata.Name + clusterDomain}
	}
	if public.Spec.Type != "LoadBalancer" || public.Spec.TrafficPolicy != "Local" || !selects(public, label(proxy)) {
		report("the Service mail does not lead to the proxy with the client's address")
	}
	fronts := pc.ports()
	for _, p := range public.Spec.Ports {
		d.published[strconv.Itoa(p.Port)] = strconv.Itoa(p.TargetPort)
		if fronts[p.Name] != p.TargetPort {
			report("ports: %s leads to %d, and the container of the proxy has %d", p.Name, p.TargetPort, fronts[p.Name])
		}
	}
	if pc.Readiness.TCPSocket.Port != fronts["https"] {
		report("probes: port %d of the proxy, want %d", pc.Readiness.TCPSocket.Port, fronts["https"])
	}

	sc := st.Spec.Template.Spec.Containers[0]
	storeEnv, storeSecret := sc.environment(report)
	d.store = store{command: strings.Join(sc.Command, " "), env: storeEnv, secret: storeSecret}
	if storeService.Spec.Type != "" || !selects(storeService, label(st)) {
		d.store.open = append(d.store.open, "6379")
	}
	if have := storePolicy.allowed(); !slices.Equal(have, []int{6379}) || sc.ports()["store"] != 6379 || storeService.Spec.Ports.byName()["store"] != 6379 || sc.Readiness.TCPSocket.Port != 6379 {
		report("ports: those of the store differ")
	}
	return d, nil
}

// environment returns the values in the file, and the names of the others.
func (c container) environment(report func(string, ...any)) (env map[string]string, secret []string) {
	env = make(map[string]string)
	for _, e := range c.Env {
		ref := e.ValueFrom.SecretKeyRef
		switch {
		case ref.Name != "" && ref.Key != "":
			secret = append(secret, e.Name)
		case e.Value == "":
			report("%s has no value", e.Name)
		default:
			env[e.Name] = e.Value
		}
	}
	slices.Sort(secret)
	return env, secret
}

func (c container) ports() map[string]int {
	ports := make(map[string]int)
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	return ports
}

// selects reports whether a Service is for pods with these labels.
func selects(service object, labels map[string]string) bool {
	for name, value := range service.Spec.Selector {
		if labels[name] != value {
			return false
		}
	}
	return len(service.Spec.Selector) > 0
}

func (o object) allowed() (ports []int) {
	for _, rule := range o.Spec.Ingress {
		for _, p := range rule.Ports {
			ports = append(ports, p.Port)
		}
	}
	slices.Sort(ports)
	return ports
}

// isOnlyFrom reports whether a NetworkPolicy lets only one kind of pod in.
func (o object) isOnlyFrom(of, from map[string]string) bool {
	if !slices.Equal(o.Spec.PolicyTypes, []string{"Ingress"}) || !maps.Equal(o.Spec.PodSelector.MatchLabels, of) || len(o.Spec.Ingress) != 1 {
		return false
	}
	rule := o.Spec.Ingress[0]
	return len(rule.From) == 1 && maps.Equal(rule.From[0].PodSelector.MatchLabels, from) && len(rule.Ports) > 0
}
