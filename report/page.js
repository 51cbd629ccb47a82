// Without this the page is whole. The list of sections shows where one is.
const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
const seen = new Set();
const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) seen[entry.isIntersecting ? "add" : "delete"](entry.target.id);
    const here = [...links.keys()].find((id) => seen.has(id));
    if (!here) return;
    for (const link of links.values()) link.removeAttribute("aria-current");
    links.get(here).setAttribute("aria-current", "location");
  },
  { rootMargin: "-15% 0px -70% 0px" },
);
for (const section of document.querySelectorAll("main > section")) watcher.observe(section);
// On paper nothing is folded away.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((folded) => (folded.open = true)));
