// How the page writes numbers, money and times; "–" stands for what is not known.

export function count(number) {
  return number == null ? "–" : Math.round(number).toLocaleString("en-US");
}

export function money(amount, digits = 2) {
  if (amount == null) return "–";
  const text = Math.abs(amount).toFixed(digits);
  if (Number(text) === 0) return text;
  return (amount > 0 ? "+" : "−") + text;
}

export function time(us) {
  if (us < 10) return Number(us.toFixed(1)) + " µs";
  if (us < 1000) return Math.round(us) + " µs";
  if (us < 1e6) return (us / 1000).toFixed(us < 1e4 ? 1 : 0) + " ms";
  return (us / 1e6).toFixed(1) + " s";
}

export function span(seconds) {
  if (seconds < 60) return Math.round(seconds) + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min " + Math.floor(seconds % 60) + " s";
  return Math.floor(seconds / 3600) + " h " + Math.floor((seconds % 3600) / 60) + " min";
}

/** A number without zeros that say nothing, of at most so many decimals. */
export function short(number, decimals) {
  return String(Number(number.toFixed(decimals)));
}

/** The class of a gain or a loss. */
export function sign(number) {
  if (number > 0) return "up";
  return number < 0 ? "down" : "";
}

export function words(name) {
  return name.replaceAll("_", " ");
}
