"use strict";
// The URL that the browser shows is not known to the server. Without this script the page
// uses the Origin and Referer fields of the form that signed in.
const page = document.getElementById("page").dataset;
const each = (selector, change) => document.querySelectorAll(selector).forEach(change);

// baseOf returns the URL of the page without what the page adds.
const baseOf = url => url.origin + url.pathname.replace(/\/admin(\/[a-z-]*)?$/, "").replace(/\/$/, "");

const isLoopback = host => /^(([a-z0-9-]+\.)*localhost|127\.[0-9.]+|\[::1\])$/.test(host);

// proposalOf returns a base if the server accepts it as the public URL, and "" if it may not.
// It accepts less than the server does. A test compares the two.
const proposalOf = base => {
	const url = new URL(base), host = url.hostname, path = url.pathname.replace(/\/$/, "");
	const name = host.length <= 253 && !/^[0-9.]+$/.test(host) && !/(^|\.)xn--/.test(host) &&
		host.split(".").every(label => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label)) && !/\.(0x[0-9a-f]*|[0-9]+)$/.test(host);
	const address = /^([1-9][0-9]?|1[0-9]{2}|2[01][0-9]|22[0-3])(\.[0-9]{1,3}){3}$/.test(host) ||
		/^\[(::1|[23][0-9a-f:]*:[0-9a-f:]*|f[cd][0-9a-f:]*:[0-9a-f:]*)\]$/.test(host);
	const good = (url.protocol === "https:" || url.protocol === "http:" && isLoopback(host)) && (name || address) &&
		path.length <= 200 && /^(\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$/.test(path) && !page.pages.split(" ").some(p => path.endsWith(p));
	return good ? url.origin + path : "";
};

const here = baseOf(location), proposal = proposalOf(here);
const field = document.getElementById("public_url");
const facts = {here: !field || field.value !== here, proposal: proposal !== "", plain: location.protocol === "http:" && !isLoopback(location.hostname)};

if (page.published) {
	const have = new URL(here), want = new URL(page.published);
	const path = url => url.pathname.replace(/\/$/, "");
	facts.scheme = have.protocol !== want.protocol;
	facts.host = have.hostname !== want.hostname;
	facts.port = have.port !== want.port && have.protocol === want.protocol;
	facts.path = path(have) !== path(want);
	facts.any = facts.scheme || facts.host || facts.port || facts.path;
	facts.none = !facts.any;
	facts.proposal = facts.proposal && (!isLoopback(have.hostname) || isLoopback(want.hostname)); // other machines cannot use it
	each("#urls", e => { e.className = !facts.any ? "good" : isLoopback(have.hostname) ? "local" : "bad"; });
}

each("[data-here]", e => { e.textContent = here; });
each("[data-proposal]", e => { e.textContent = proposal; });
each("[data-if]", e => { e.hidden = !facts[e.dataset.if]; });

each("[data-use]", e => {
	e.hidden = proposal === "";
	e.addEventListener("click", () => {
		field.value = proposal;
		field.focus();
	});
});

// The token of the set-up is in the fragment of the link that the server prints. Browsers do
// not send that part.
const takeToken = () => {
	const target = document.getElementById("token"), token = new URLSearchParams(location.hash.slice(1)).get("token");
	if (!target || !token) {
		return;
	}
	target.value = token;
	history.replaceState(null, "", location.pathname);
	[...target.form.elements].find(f => f.required && !f.value)?.focus(); // the first empty one
};
takeToken();
addEventListener("hashchange", takeToken);
each("#token", e => e.addEventListener("focus", () => e.select()));
