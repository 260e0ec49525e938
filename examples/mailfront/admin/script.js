"use strict";
// What only the browser knows: the URL that it shows. Without this script the page
// goes by the Origin field of the form that signed in.
const here = location.origin + location.pathname.replace(/\/admin(\/[a-z-]*)?$/, "");
const each = (selector, change) => document.querySelectorAll(selector).forEach(change);

each("[data-here]", e => { e.textContent = here; });

const published = document.body.dataset.published;
if (published) {
	const have = new URL(here), want = new URL(published);
	const path = url => url.pathname.replace(/\/$/, "");
	const differs = {
		scheme: have.protocol !== want.protocol,
		host: have.hostname !== want.hostname,
		port: have.port !== want.port && have.protocol === want.protocol,
		path: path(have) !== path(want),
	};
	differs.any = Object.values(differs).some(Boolean);
	differs.none = !differs.any;
	each("[data-if]", e => { e.hidden = !differs[e.dataset.if]; });
	each("#urls", e => { e.className = differs.any ? "bad" : "good"; });
}

each("[data-use]", e => {
	e.hidden = false;
	e.addEventListener("click", () => {
		const field = document.getElementById("public_url");
		field.value = here;
		field.focus();
	});
});

each("#token", e => {
	const token = new URLSearchParams(location.hash.slice(1)).get("token");
	if (token) {
		e.value = token;
		history.replaceState(null, "", location.pathname);
	}
	e.addEventListener("focus", () => e.select());
});
