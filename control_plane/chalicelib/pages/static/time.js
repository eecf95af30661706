// Counts the time left down. The page says all it must without this; the server's clock alone decides.
"use strict";
document.querySelectorAll("[data-seconds]").forEach(function (element) {
  const end = performance.now() + Number(element.dataset.seconds) * 1000;
  function words(seconds) {
    if (seconds >= 3600) return Math.floor(seconds / 3600) + " h " + Math.floor(seconds % 3600 / 60) + " min";
    if (seconds >= 60) return Math.floor(seconds / 60) + " min " + seconds % 60 + " s";
    return seconds + " s";
  }
  const timer = setInterval(function () {
    const left = Math.max(0, Math.floor((end - performance.now()) / 1000));
    element.textContent = left ? words(left) : "over";
    element.classList.toggle("soon", left < 30);
    if (!left) clearInterval(timer);
  }, 250);
});
