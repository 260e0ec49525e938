package proxyproto

// Unmarked returns i as a Listener without trusted and optional peers makes it.
func Unmarked(i Info) Info {
	i.unmarked = true
	return i
}
