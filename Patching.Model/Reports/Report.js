'use strict';
const runs = JSON.parse(document.getElementById('data').textContent);

runs.forEach((run, number) => {
  const section = document.querySelector(`[data-run="${number}"]`);
  const slider = document.getElementById('alpha' + number);
  const chosen = document.getElementById('chosen' + number);
  const cells = run.cells[0].map((_, cell) => document.querySelector(`[data-cell="${number}-${cell}"]`));
  const marks = run.marks.map((_, mark) => document.querySelector(`[data-mark="${number}-${mark}"]`));
  const rows = section.querySelectorAll('table.all tbody tr');

  function show(index) {
    chosen.value = run.alphas[index];
    slider.setAttribute('aria-valuetext', 'alpha ' + run.alphas[index]);
    run.cells[index].forEach((text, cell) => {
      cells[cell].textContent = text;
      // The sign, for the colour.
      cells[cell].dataset.sign = text[0] || '';
    });
    rows.forEach((row, at) => { if (at === index) row.setAttribute('aria-current', 'true'); else row.removeAttribute('aria-current'); });
    run.marks.forEach((places, mark) => {
      const place = places[index] || [-99, -99];
      marks[mark].setAttribute('cx', place[0]);
      marks[mark].setAttribute('cy', place[1]);
      if (place.length > 2) marks[mark].setAttribute('r', place[2]);
    });
  }

  slider.addEventListener('input', () => show(Number(slider.value)));
  // A browser that restores a form keeps the slider where it was.
  show(Number(slider.value));
});
