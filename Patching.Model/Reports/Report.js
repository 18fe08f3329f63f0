'use strict';
const page = JSON.parse(document.getElementById('data').textContent);
const slider = document.getElementById('alpha');
const chosen = document.getElementById('chosen');
const rows = document.querySelectorAll('#all tbody tr');

function show(index) {
  chosen.textContent = 'alpha ' + page.alphas[index];
  slider.setAttribute('aria-valuetext', 'alpha ' + page.alphas[index]);
  page.cells[index].forEach((text, cell) => { document.getElementById('cell' + cell).textContent = text; });
  rows.forEach((row, at) => { if (at === index) row.setAttribute('aria-current', 'true'); else row.removeAttribute('aria-current'); });
  page.marks.forEach((places, mark) => {
    const circle = document.getElementById('mark' + mark), place = places[index];
    circle.style.display = place ? '' : 'none';
    if (place) { circle.setAttribute('cx', place[0]); circle.setAttribute('cy', place[1]); }
  });
}

slider.addEventListener('input', () => show(Number(slider.value)));
show(Number(slider.value));
