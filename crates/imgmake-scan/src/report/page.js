"use strict";
(() => {
  const RESULT = 7;
  const filter = document.getElementById("filter");
  const boxes = [...document.querySelectorAll("input.result")];
  const rows = [...document.querySelectorAll("#findings tbody tr")];
  const shown = document.getElementById("shown");
  const apply = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const results = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    let count = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits = results.has(row.cells[RESULT].textContent) && words.every((word) => text.includes(word));
      row.hidden = !fits;
      count += fits ? 1 : 0;
    }
    shown.textContent = `${count} of ${rows.length} shown`;
  };
  // A link may bring a filter: scan.html#openssl
  const take = () => {
    try { filter.value = decodeURIComponent(location.hash.slice(1)); } catch { filter.value = ""; }
    apply();
  };
  filter.addEventListener("input", apply);
  for (const box of boxes) box.addEventListener("change", apply);
  window.addEventListener("hashchange", take);
  take();
})();
