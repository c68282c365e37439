"use strict";

// Players whose signals run side by side, so that switching from one to another is a
// short fade and keeps the position to the sample; and the choice of a metric.
(() => {
  const STEP = 0.5; // seconds that an arrow moves
  const FADE = 0.008; // seconds of a switch
  const AHEAD = 0.03; // seconds from a start until it is heard
  const Context = window.AudioContext || window.webkitAudioContext;

  let context = null;
  let last = null; // the player that keys are for when nothing has the focus
  const players = [];

  const bytes = (address) => {
    const text = atob(address.slice(address.indexOf(",") + 1));
    return Uint8Array.from(text, (letter) => letter.charCodeAt(0)).buffer;
  };

  class Player {
    constructor(element) {
      this.element = element;
      this.duration = Number(element.dataset.seconds);
      this.bar = element.querySelector(".bar");
      this.natives = element.querySelector(".natives");
      this.audio = [...this.natives.querySelectorAll("audio")];
      this.playButton = this.bar.querySelector(".play");
      this.buttons = [...this.bar.querySelectorAll(".signals button")];
      this.rows = [...element.querySelectorAll(".signal-row")];
      this.slider = this.bar.querySelector("input");
      this.time = this.bar.querySelector(".time");
      this.chosen = 0;
      this.offset = 0; // where it stands, or where it was started
      this.nodes = null; // a source and a gain for each signal while it plays
      this.listen();
      this.bar.hidden = false;
      this.natives.hidden = true;
      this.state = "paused";
    }

    set state(name) {
      this.element.dataset.state = name;
      this.playButton.setAttribute("aria-label", name === "paused" ? "Play" : "Pause");
    }

    get state() {
      return this.element.dataset.state;
    }

    get position() {
      if (!this.nodes) return this.offset;
      const now = this.offset + Math.max(0, context.currentTime - this.began);
      return Math.min(now, this.duration);
    }

    listen() {
      this.playButton.addEventListener("click", () => this.toggle());
      this.buttons.forEach((button, number) => {
        button.addEventListener("click", () => this.choose(number));
      });
      this.slider.addEventListener("input", () => this.seek(Number(this.slider.value)));
      this.rows.forEach((row, number) => {
        for (const panel of row.querySelectorAll(".panel")) {
          panel.addEventListener("click", (event) => {
            const box = panel.getBoundingClientRect();
            this.choose(number);
            this.seek(((event.clientX - box.left) / box.width) * this.duration);
          });
        }
      });
      this.element.addEventListener("pointerdown", () => (last = this));
      this.element.addEventListener("focusin", () => (last = this));
    }

    async load() {
      context ??= new Context();
      this.loading ??= Promise.all(
        this.audio.map((x) => context.decodeAudioData(bytes(x.getAttribute("src")))),
      );
      this.buffers = await this.loading;
      await context.resume();
    }

    async play() {
      if (this.state !== "paused") return;
      last = this;
      for (const other of players) if (other !== this) other.pause();
      this.state = "loading";
      try {
        await this.load();
      } catch (error) {
        this.giveUp();
        return;
      }
      // paused while it was loading
      if (this.state !== "loading") return;
      if (this.offset >= this.duration - 0.01) this.offset = 0;
      this.state = "playing";
      this.start();
      this.follow();
    }

    start() {
      const when = context.currentTime + AHEAD;
      const nodes = this.buffers.map((buffer, number) => {
        const source = context.createBufferSource();
        const gain = context.createGain();
        source.buffer = buffer;
        gain.gain.value = number === this.chosen ? 1 : 0;
        source.connect(gain).connect(context.destination);
        source.start(when, this.offset);
        return { source, gain };
      });
      nodes[0].source.onended = () => {
        if (this.nodes === nodes) this.finish();
      };
      this.began = when;
      this.nodes = nodes;
    }

    stop() {
      const end = context.currentTime + FADE;
      for (const { source, gain } of this.nodes) {
        gain.gain.setValueAtTime(gain.gain.value, context.currentTime);
        gain.gain.linearRampToValueAtTime(0, end);
        source.stop(end);
      }
      this.nodes = null;
    }

    pause() {
      if (this.state === "paused") return;
      this.offset = this.position;
      if (this.nodes) this.stop();
      this.state = "paused";
      this.show();
    }

    finish() {
      this.nodes = null;
      this.offset = 0;
      this.state = "paused";
      this.show();
    }

    toggle() {
      if (this.state === "paused") this.play();
      else this.pause();
    }

    seek(seconds) {
      const place = Math.min(Math.max(seconds, 0), this.duration);
      const playing = this.nodes !== null;
      if (playing) this.stop();
      this.offset = place;
      if (playing && place < this.duration) this.start();
      else if (playing) this.finish();
      this.show();
    }

    choose(number) {
      if (number < 0 || number >= this.buttons.length) return;
      this.chosen = number;
      last = this;
      this.buttons.forEach((button, n) => {
        button.setAttribute("aria-pressed", String(n === number));
      });
      this.rows.forEach((row, n) => row.classList.toggle("current", n === number));
      const now = context ? context.currentTime : 0;
      (this.nodes ?? []).forEach(({ gain }, n) => {
        gain.gain.cancelScheduledValues(now);
        gain.gain.setValueAtTime(gain.gain.value, now);
        gain.gain.linearRampToValueAtTime(n === number ? 1 : 0, now + FADE);
      });
    }

    follow() {
      if (this.state !== "playing") return;
      this.show();
      requestAnimationFrame(() => this.follow());
    }

    show() {
      const now = this.position;
      const text = now.toFixed(1);
      this.element.style.setProperty("--at", String(now / this.duration));
      this.slider.value = String(now);
      const spoken = `${text} of ${this.duration.toFixed(1)} seconds`;
      this.slider.setAttribute("aria-valuetext", spoken);
      this.time.textContent = `${text} / ${this.duration.toFixed(1)} s`;
    }

    // the browser's own players, where it cannot decode what it can play
    giveUp() {
      delete this.element.dataset.state;
      this.bar.hidden = true;
      this.natives.hidden = false;
    }

    // returns whether a key was for this player
    key(name, target) {
      const digit = /^[1-9]$/.test(name) ? Number(name) : 0;
      if (digit && digit <= this.buttons.length) {
        this.choose(digit - 1);
      } else if (name === "ArrowLeft" || name === "ArrowRight") {
        this.seek(this.position + (name === "ArrowLeft" ? -STEP : STEP));
      } else if (name === "ArrowUp" || name === "ArrowDown") {
        if (!this.element.contains(target)) return false;
        const next = this.chosen + (name === "ArrowUp" ? -1 : 1);
        this.choose((next + this.buttons.length) % this.buttons.length);
      } else if (name === " ") {
        // a button does what it says; the one that is pressed has nothing left to do
        const button = target.closest("button");
        if (button && button.getAttribute("aria-pressed") !== "true") return false;
        this.toggle();
      } else {
        return false;
      }
      return true;
    }
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { target } = event;
    const inside = target.closest(".player");
    const player = inside ? inside.player : target === document.body ? last : null;
    if (player?.state && player.key(event.key, target)) event.preventDefault();
  });

  if (Context) {
    for (const element of document.querySelectorAll(".player")) {
      element.player = new Player(element);
      players.push(element.player);
    }
  }

  const picker = document.getElementById("metric");
  picker?.addEventListener("change", () => {
    for (const group of document.querySelectorAll("[data-metric]")) {
      group.hidden = group.dataset.metric !== picker.value;
    }
  });
})();
