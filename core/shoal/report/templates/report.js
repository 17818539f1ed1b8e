(() => {
  "use strict";
  const one = (selector) => document.querySelector(selector);

  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      const code = button.previousElementSibling;
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch (error) {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1600);
    });
  }

  const links = [...document.querySelectorAll("nav.bar a")];
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links) link.toggleAttribute("aria-current", link.hash === "#" + entry.target.id);
    }
  }, { rootMargin: "-30% 0px -65% 0px" });
  for (const section of document.querySelectorAll("main > section")) watch.observe(section);

  const rejected = __REJECTED__;
  const body = one(".rejected-rows");
  if (!body) return;
  const PAGE = 100;
  const search = one(".rejected-search"), status = one(".rejected-status"), count = one(".rejected-count"), more = one(".rejected-more");
  const lower = rejected.map((row) => row.join("\n").toLowerCase());
  let found = [], drawn = 0;

  function cell(tag, text, kind) {
    const made = document.createElement(tag), inner = document.createElement("bdi");
    inner.textContent = text;
    if (kind) inner.className = kind;
    made.append(inner);
    return made;
  }
  function draw() {
    const upTo = Math.min(drawn + PAGE, found.length);
    for (; drawn < upTo; drawn++) {
      const [path, step, kind, reason] = rejected[found[drawn]];
      const row = document.createElement("tr");
      row.append(cell("td", kind, kind === "failed" ? "badge failed" : "badge"), cell("th", path, "long path"), cell("td", step), cell("td", reason, "long"));
      row.children[1].scope = "row";
      body.append(row);
    }
    more.hidden = drawn >= found.length;
    more.textContent = `Show ${Math.min(PAGE, found.length - drawn)} more`;
  }
  function filter() {
    const text = search.value.trim().toLowerCase();
    found = [];
    for (let i = 0; i < rejected.length; i++) {
      if ((!status.value || rejected[i][2] === status.value) && (!text || lower[i].includes(text))) found.push(i);
    }
    body.replaceChildren();
    drawn = 0;
    draw();
    count.textContent = `${found.length.toLocaleString("en")} of ${rejected.length.toLocaleString("en")}`;
  }
  search.addEventListener("input", filter);
  status.addEventListener("change", filter);
  more.addEventListener("click", draw);
  filter();
})();
