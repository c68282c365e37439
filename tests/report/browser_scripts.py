"""What the tests run in the browser."""

# Switches to each signal while it plays, and listens: the frequency of the loudest tone
# says which signal is heard, and where it is
SWITCHES = """
const [numbers, bands, done] = arguments;
const player = document.querySelector(".player").player;
const size = 4096;
let analyser = null;
const start = player.start.bind(player);
player.start = () => {
  start();
  const {context} = player.nodes[0].gain;
  analyser ??= new AnalyserNode(context, {fftSize: size, smoothingTimeConstant: 0});
  for (const {gain} of player.nodes) gain.connect(analyser);
};
const heard = () => {
  const levels = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(levels);
  const best = levels.indexOf(Math.max(...levels));
  const rate = analyser.context.sampleRate;
  return [best * rate / size, player.position - size / 2 / rate, levels[best]];
};
const playing = async () => {
  if (player.state === "playing" && player.position < 2.5) return;
  player.pause();
  player.seek(0.3);
  await player.play();
};
const next = () => new Promise((go) => setTimeout(go, 20));
const listen = async ([low, high]) => {
  for (;;) {
    await playing();
    await next();
    if (!player.nodes || player.position < 0.6) continue;
    const found = heard();
    if (found[0] > low && found[0] < high && found[2] > -60) return found;
  }
};
(async () => {
  const results = [];
  for (const number of numbers) {
    await playing();
    const {began, nodes, position} = player;
    player.choose(number);
    const same = player.began === began && player.nodes === nodes;
    const moved = player.position - position;
    results.push([same, moved, ...(await listen(bands[number]))]);
  }
  done(results);
})();
"""
# The contrast of every text with what is behind it
CONTRAST = """
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map((v) => {
    v /= 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.length < 4 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((x) => x.nodeType === 3 && x.data.trim());
  // frequencies stand on pictures
  if (!own || !element.checkVisibility() || element.matches(".hertz, option")) continue;
  const style = getComputedStyle(element);
  const colour = element.closest("svg") ? style.fill : style.color;
  const [a, b] = [light(parse(colour)), light(behind(element))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  found.push([ratio, element.tagName + "." + element.getAttribute("class")]);
}
return found;
"""
# What reaches beyond the window
WIDE = """
const inside = (x) => x.closest(".scroll, pre, .panel");
return [...document.querySelectorAll("body *")]
  .filter((x) => !inside(x) && x.getBoundingClientRect().right > innerWidth + 0.5)
  .map((x) => `${x.tagName}.${x.getAttribute("class")} ${x.textContent.slice(0, 40)}`);
"""
