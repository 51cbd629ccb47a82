// This script marks the current section in the list of sections. The page can be read without it.
const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
const visible = new Set();
const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) visible[entry.isIntersecting ? "add" : "delete"](entry.target.id);
    const current = [...links.keys()].find((id) => visible.has(id));
    if (!current) return;
    for (const link of links.values()) link.removeAttribute("aria-current");
    links.get(current).setAttribute("aria-current", "location");
  },
  { rootMargin: "-15% 0px -70% 0px" },
);
for (const section of document.querySelectorAll("main > section")) watcher.observe(section);
// Print collapsed tables in full.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((table) => (table.open = true)));
