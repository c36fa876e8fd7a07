"use strict";
document.documentElement.classList.add("js");

for (const film of document.querySelectorAll(".film")) {
  const frames = [...film.querySelectorAll("figure")];
  const control = film.nextElementSibling;
  const range = control.querySelector("input");
  const output = control.querySelector("output");
  const show = () => {
    frames.forEach((frame, place) => frame.classList.toggle("shown", place === Number(range.value)));
    output.textContent = frames[range.value].dataset.label;
    range.setAttribute("aria-valuetext", output.textContent);
  };
  range.max = frames.length - 1;
  range.value = film.dataset.start ?? frames.length - 1;
  range.addEventListener("input", show);
  show();
}

for (const template of document.querySelectorAll("template.compare-template")) {
  const table = document.getElementById(template.dataset.table);
  const rows = [...table.querySelectorAll("tr.views")];
  const compare = template.content.firstElementChild.cloneNode(true);
  const stage = compare.querySelector(".compare-stage");
  const [before, after] = stage.querySelectorAll("img");
  const [select, range] = [compare.querySelector("select"), compare.querySelector("input")];
  const view = (row, column) => row.querySelectorAll("img")[column];
  const fill = (target, source) => {
    target.src = source.src;
    target.alt = source.alt;
  };
  const choose = () => {
    fill(before, view(rows[select.selectedIndex], Number(template.dataset.before)));
    fill(after, view(rows[select.selectedIndex], Number(template.dataset.after)));
  };
  const cut = () => {
    stage.style.setProperty("--cut", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} % before, ${100 - range.value} % after`);
  };
  const follow = (event) => {
    if (event.buttons || event.type === "pointerdown") {
      const box = stage.getBoundingClientRect();
      range.value = Math.round((100 * (event.clientX - box.left)) / box.width);
      cut();
    }
  };
  select.addEventListener("change", choose);
  range.addEventListener("input", cut);
  stage.addEventListener("pointerdown", follow);
  stage.addEventListener("pointermove", follow);
  choose();
  cut();
  template.replaceWith(compare);
}

addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});

const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let fold = target && target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", reveal);
reveal();

for (const button of document.querySelectorAll(".open-all")) {
  button.addEventListener("click", () => {
    for (const fold of document.querySelectorAll("details.fold")) fold.open = true;
    button.remove();
  });
}
