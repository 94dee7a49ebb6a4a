// Reads the P&L chart out under the pointer; the page is complete without it.
(() => {
  const chart = document.getElementById("pnl"), source = document.getElementById("pnl-data");
  if (!chart || !source) return;
  const data = JSON.parse(source.textContent), out = document.getElementById("readout");
  const cursor = chart.querySelector(".cursor"), n = data.day.length;
  const money = (v) => (v < 0 ? "−" : "") + Math.abs(v).toLocaleString("en-US");
  const show = (event) => {
    const box = chart.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * data.width;
    const share = Math.min(Math.max((x - data.left) / (data.right - data.left), 0), 1);
    const day = data.day[0] + share * (data.day[n - 1] - data.day[0]);
    let low = 0, high = n - 1;
    while (low < high) { const mid = (low + high) >> 1; if (data.day[mid] < day) low = mid + 1; else high = mid; }
    if (low > 0 && day - data.day[low - 1] < data.day[low] - day) low -= 1;
    const at = data.left + (data.day[low] - data.day[0]) / ((data.day[n - 1] - data.day[0]) || 1) * (data.right - data.left);
    cursor.setAttribute("transform", `translate(${at},0)`);
    cursor.setAttribute("visibility", "visible");
    const date = new Date(data.day[low] * 864e5).toISOString().slice(0, 10);
    out.textContent = `${date}   P&L ${money(data.pnl[low])} ${data.currency}   ` +
      data.levels.map((name, i) => `VaR ${name} ${money(data.var[i][low])}` +
        (-data.pnl[low] > data.var[i][low] ? " exceeded" : "")).join("   ");
  };
  chart.addEventListener("pointermove", show);
  chart.addEventListener("pointerleave", () => { cursor.setAttribute("visibility", "hidden"); out.textContent = ""; });
})();
