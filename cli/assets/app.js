// Built from cli/dashboard by `make dashboard`: change it there.
"use strict";
"use strict";
(() => {
  // src/signal.ts
  function signal(initial) {
    let value = initial;
    const listeners = [];
    return {
      get value() {
        return value;
      },
      set(next) {
        if (Object.is(next, value)) return;
        value = next;
        for (const listener of listeners) listener(value);
      },
      watch(listener) {
        listeners.push(listener);
        listener(value);
      }
    };
  }

  // src/api.ts
  var KEY = "peerkit-token";
  var DOWN = /* @__PURE__ */ new Set(["data_dir_locked", "config_invalid", "config_conflict", "panic"]);
  var Failure = class extends Error {
    constructor(code2, message, hint2 = null, detail = {}, status2 = 0) {
      super(message);
      this.code = code2;
      this.hint = hint2;
      this.detail = detail;
      this.status = status2;
    }
    code;
    hint;
    detail;
    status;
    /** Nobody answered at all. */
    get unreachable() {
      return this.code === "unreachable";
    }
    /** The server is there, its node isn't. */
    get nodeDown() {
      return this.status === 503 || DOWN.has(this.code);
    }
    get tokenRefused() {
      return this.status === 401;
    }
  };
  var access = signal({ reads: true, acts: false, reason: "Asking the node what is allowed …", readOnly: false, refused: false });
  var token = takeFromAddress() ?? sessionStorage.getItem(KEY);
  function takeFromAddress() {
    const given = new URLSearchParams(location.hash.slice(1)).get("token");
    if (given === null) return null;
    history.replaceState(null, "", location.pathname + location.search);
    const trimmed = given.trim();
    if (trimmed === "") return null;
    sessionStorage.setItem(KEY, trimmed);
    return trimmed;
  }
  function readAddress() {
    const given = takeFromAddress();
    if (given !== null) token = given;
    return given !== null;
  }
  function setToken(given) {
    token = given === "" ? null : given;
    if (token === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, token);
  }
  function hasToken() {
    return token !== null;
  }
  function headers(more = {}) {
    return token === null ? more : { ...more, Authorization: `Bearer ${token}` };
  }
  async function call(method, params = {}, options = {}) {
    const query = options.timeoutMs === void 0 ? "" : `?timeout_ms=${options.timeoutMs}`;
    const response = await ask(`/api/call/${method}${query}`, {
      method: "POST",
      headers: headers({ "Content-Type": "application/json" }),
      body: JSON.stringify(params),
      signal: options.signal ?? null
    });
    return await read(response);
  }
  async function loadAccess() {
    let told = await askAccess();
    let refused = false;
    while (told.token === "wrong") {
      setToken("");
      refused = true;
      told = await askAccess();
    }
    if (told.token === "right") refused = false;
    const before = access.value;
    const reason = told.acts ? null : why(told, refused || before.refused && token === null);
    const same = before.reads === told.reads && before.acts === told.acts && before.readOnly === told.read_only && before.reason === reason;
    if (!same) access.set({ reads: told.reads, acts: told.acts, readOnly: told.read_only, refused, reason });
  }
  async function askAccess() {
    for (; ; ) {
      const sent = token;
      const told = await read(await ask("/api/access", { headers: headers() }));
      if (sent === token) return told;
    }
  }
  function why(told, refused) {
    if (told.read_only) return "This server is read-only: it was started with --read-only";
    if (!told.reads && !refused) return "This server shows nothing without the token: enter it first";
    if (refused) return "The token was refused: enter the right one to act";
    return "Acting needs the token: enter it first";
  }
  async function ask(path, init) {
    try {
      return await fetch(path, { ...init, credentials: "omit", cache: "no-store", redirect: "error", referrerPolicy: "no-referrer" });
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") {
        throw new Failure("cancelled", "Given up by you");
      }
      throw new Failure("unreachable", "peerkit doesn't answer", "Is `peerkit serve` still running?");
    }
  }
  async function read(response) {
    let reply;
    try {
      reply = await response.json();
    } catch {
      throw new Failure("protocol", `The server answered ${response.status} and no reply`, null, {}, response.status);
    }
    if (response.ok && reply["success"] !== false) return reply;
    throw failure(reply, response.status);
  }
  var HINTS = {
    not_connected: "connect to it first",
    peer_not_found: "connecting to an address of it makes it known"
  };
  function hint(code2, given) {
    return given?.includes("`POST ") ? HINTS[code2 ?? ""] ?? null : given;
  }
  function failure(reply, status2) {
    const text2 = (key) => typeof reply[key] === "string" ? reply[key] : null;
    const detail = typeof reply["detail"] === "object" && reply["detail"] !== null ? reply["detail"] : {};
    return new Failure(text2("code") ?? "protocol", text2("error") ?? `The server answered ${status2}`, hint(text2("code"), text2("hint")), detail, status2);
  }
  function asFailure(error) {
    return error instanceof Failure ? error : new Failure("page", error instanceof Error ? error.message : String(error));
  }

  // src/dom.ts
  function el(tag, props = {}, ...children) {
    const element = document.createElement(tag);
    const { on, ...attributes } = props;
    setAttributes(element, attributes);
    for (const [name, listener] of Object.entries(on ?? {})) {
      element.addEventListener(name, listener);
    }
    put(element, children);
    return element;
  }
  function svg(tag, attributes = {}, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    setAttributes(element, attributes);
    element.append(...children);
    return element;
  }
  function setAttributes(element, attributes) {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on") || name === "style") throw new Error(`${name} is not for attributes`);
      if (value === void 0 || value === null || value === false) continue;
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  function put(element, children) {
    for (const child of children) {
      if (child !== null && child !== void 0 && child !== false) element.append(child);
    }
  }
  function fill(element, ...children) {
    element.replaceChildren();
    put(element, children);
  }
  function setText(element, text2) {
    if (element.textContent !== text2) element.textContent = text2;
  }
  function setAttribute(element, name, value) {
    if (element.getAttribute(name) === value) return;
    if (value === null) element.removeAttribute(name);
    else element.setAttribute(name, value);
  }
  function byId(id) {
    const element = document.getElementById(id);
    if (!element) throw new Error(`the page has no #${id}`);
    return element;
  }
  var Drawn = class {
    constructor(element) {
      this.element = element;
    }
    element;
    #shown;
    /** `key` is whatever the drawing depends on. */
    draw(key, children) {
      const text2 = JSON.stringify(key);
      if (text2 === this.#shown) return;
      this.#shown = text2;
      fill(this.element, ...children());
    }
  };
  var ICONS = {
    copy: "M5 5V2.5h8.5V11H11M2.5 5H11v8.5H2.5z",
    done: "M3 8.5l3.5 3.5L13 4.5",
    close: "M4 4l8 8M12 4l-8 8",
    in: "M12.5 3.5l-8 8M4.5 5.5v6h6",
    out: "M3.5 12.5l8-8M5.5 4.5h6v6",
    first: "M4 3.5v9M12 3.5L7.5 8l4.5 4.5",
    previous: "M10 3.5L5.5 8l4.5 4.5",
    next: "M6 3.5L10.5 8L6 12.5",
    last: "M12 3.5v9M4 3.5L8.5 8L4 12.5",
    warning: "M8 2l6.5 11.5h-13zM8 6.5v3.2M8 11.6v.2"
  };
  function icon(name) {
    const path = svg("path", { d: ICONS[name] });
    return svg("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" }, path);
  }
  var statusRegion;
  function announce(text2) {
    statusRegion ??= byId("announcements");
    statusRegion.textContent = text2;
  }
  function copyButton(text2, what2) {
    const button = el("button", { type: "button", class: "quiet icon-only", title: `Copy ${what2}`, "aria-label": `Copy ${what2}` }, icon("copy"));
    button.addEventListener("click", async (event) => {
      event.stopPropagation();
      try {
        await navigator.clipboard.writeText(text2);
        button.replaceChildren(icon("done"));
        announce(`Copied ${what2}`);
      } catch {
        announce(`The browser doesn't let this page copy. ${what2}: ${text2}`);
      }
      setTimeout(() => button.replaceChildren(icon("copy")), 1500);
    });
    return button;
  }

  // src/format.ts
  var NONE = "–";
  var HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u202f\u2060-\u206f\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufffc\u{e0000}-\u{e0fff}]|\p{Cs}/gu;
  function visible(text2, most = 512) {
    const cut = text2.length > most ? `${text2.slice(0, most)}…` : text2;
    return cut.replace(HIDDEN, (hidden) => `\\u{${(hidden.codePointAt(0) ?? 0).toString(16)}}`);
  }
  function remote(text2, most) {
    if (text2 === null || text2 === void 0 || text2 === "") return el("span", { class: "none" }, NONE);
    return el("bdi", { class: "remote", dir: "auto" }, visible(text2, most));
  }
  function code(text2, most) {
    return el("bdi", { class: "code", dir: "ltr" }, visible(text2, most));
  }
  function shortId(id) {
    const shown2 = visible(id, 128);
    return shown2.length > 16 ? `${shown2.slice(0, 4)}…${shown2.slice(-8)}` : shown2;
  }
  function count(value) {
    return value.toLocaleString("en-US").replaceAll(",", " ");
  }
  function plural(value, one, many = `${one}s`) {
    return `${count(value)} ${value === 1 ? one : many}`;
  }
  function ms(value) {
    if (value === null || value === void 0) return NONE;
    if (value >= 1e4) return `${(value / 1e3).toFixed(1)} s`;
    return `${value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} ms`;
  }
  function bytes(value) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let unit = 0;
    while (value >= 1e3 && unit < units.length - 1) {
      value /= 1e3;
      unit++;
    }
    return `${unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
  }
  function span(seconds) {
    const s = Math.max(0, Math.floor(seconds));
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
    return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
  }
  function relative(at) {
    const passed = Date.now() / 1e3 - at;
    const s = Math.floor(Math.abs(passed));
    if (s < 1) return "now";
    const text2 = s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min` : s < 86400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
    return passed >= 0 ? `${text2} ago` : `in ${text2}`;
  }
  function ago(at) {
    if (at === null || at === void 0) return el("span", { class: "none" }, NONE);
    const date = new Date(at * 1e3);
    return el("time", { datetime: date.toISOString(), title: date.toLocaleString(), "data-at": at }, relative(at));
  }
  function tick() {
    for (const time of document.querySelectorAll("time[data-at]")) {
      const text2 = relative(Number(time.dataset["at"]));
      if (time.textContent !== text2) time.textContent = text2;
    }
  }
  function clock(at) {
    const date = new Date(at * 1e3);
    const two = (n) => String(n).padStart(2, "0");
    return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
  }
  function sentence(text2) {
    const shown2 = visible(text2);
    return shown2.charAt(0).toUpperCase() + shown2.slice(1);
  }
  function words(name) {
    return visible(name, 64).replaceAll("_", " ");
  }

  // src/state.ts
  var view = signal({ search: "", protocol: "", connected: "all", sort: "last_seen", limit: 50, offset: 0 });
  var status = signal(null);
  var summary = signal(null);
  var page = signal(null);
  var discovery = signal(null);
  var bootstrap = signal(null);
  var selected = signal(null);
  var peer = signal(null);
  var trouble = signal(null);
  var startedAt = signal(null);
  var PARTS = ["status", "summary", "page", "discovery", "bootstrap", "peer"];
  var REFRESH_MS = 250;
  var SLOW_TICK_MS = 1e4;
  var loaders = {
    async status() {
      took(await call("status"));
    },
    async summary() {
      summary.set(await call("get_peers_summary"));
    },
    async page() {
      await loadPage();
    },
    async discovery() {
      discovery.set(await call("get_discovery"));
    },
    async bootstrap() {
      bootstrap.set((await call("list_bootstrap_peers")).bootstrap_peers);
    },
    async peer() {
      await loadPeer();
    }
  };
  var stale = /* @__PURE__ */ new Set();
  var loading = /* @__PURE__ */ new Set();
  var timer;
  var last = 0;
  function refresh(...parts) {
    for (const part of parts.length > 0 ? parts : PARTS) stale.add(part);
    schedule();
  }
  function schedule() {
    if (timer !== void 0 || stale.size === 0 || document.hidden || !access.value.reads) return;
    timer = setTimeout(run, Math.max(0, last + REFRESH_MS - performance.now()));
  }
  function run() {
    timer = void 0;
    last = performance.now();
    for (const part of stale) {
      if (loading.has(part)) continue;
      stale.delete(part);
      loading.add(part);
      void load(part);
    }
  }
  async function load(part) {
    try {
      await loaders[part]();
      trouble.set(null);
    } catch (error) {
      fail(asFailure(error));
    } finally {
      loading.delete(part);
      schedule();
    }
  }
  function fail(failure2) {
    if (failure2.nodeDown || failure2.tokenRefused) trouble.set(failure2);
  }
  var asked = 0;
  async function loadPage() {
    const wanted2 = view.value;
    const number = ++asked;
    const params = { limit: wanted2.limit, offset: wanted2.offset, sort: wanted2.sort };
    if (wanted2.search !== "") params["search"] = wanted2.search;
    if (wanted2.protocol !== "") params["filter_protocol"] = wanted2.protocol;
    if (wanted2.connected !== "all") params["filter_connected"] = wanted2.connected === "connected";
    const got = await call("list_peers", params);
    if (number !== asked || wanted2 !== view.value) {
      refresh("page");
      return;
    }
    const { total } = got.pagination;
    if (got.peers.length === 0 && wanted2.offset > 0) {
      turn(Math.max(0, Math.ceil(total / wanted2.limit) - 1) * wanted2.limit);
      return;
    }
    page.set(got);
  }
  async function loadPeer() {
    const id = selected.value;
    if (id === null) return peer.set(null);
    try {
      const { peer_info } = await call("get_peer", { peer_id: id });
      if (selected.value === id) peer.set(peer_info);
    } catch (error) {
      const failed = asFailure(error);
      if (failed.unreachable || failed.nodeDown) throw failed;
      if (selected.value === id) peer.set(failed);
    }
  }
  function look(change) {
    view.set({ ...view.value, offset: 0, ...change });
    refresh("page");
  }
  function turn(offset) {
    view.set({ ...view.value, offset });
    refresh("page");
  }
  function select(id) {
    if (id === selected.value) return;
    peer.set(null);
    selected.set(id);
    refresh("peer");
  }
  function took(got) {
    status.set(got);
    const began = Date.now() / 1e3 - got.uptime_seconds;
    if (startedAt.value === null || Math.abs(startedAt.value - began) > 2) startedAt.set(began);
  }
  async function begin() {
    const before = { run: startedAt.value, id: status.value?.peer_id };
    try {
      await loadAccess();
      if (!access.value.reads) throw new Failure("token", access.value.reason ?? "Enter the token", null, {}, 401);
      took(await call("status"));
      trouble.set(null);
    } catch (error) {
      fail(asFailure(error));
      throw error;
    }
    return before.run !== startedAt.value || before.id !== status.value?.peer_id;
  }
  function heard(event) {
    const parts = ["summary"];
    if (event.peer_id !== null && event.event !== "message") parts.push("page");
    if (event.peer_id !== null && event.peer_id === selected.value) parts.push("peer");
    if (event.event === "discovery" || event.event === "peer_discovered") parts.push("discovery");
    if (event.event === "listen_addr" || event.event === "external_addr") parts.push("status");
    refresh(...parts);
  }
  function keepCurrent() {
    setInterval(() => refresh("summary", "discovery", "bootstrap", "peer"), SLOW_TICK_MS);
    document.addEventListener("visibilitychange", schedule);
  }

  // src/running.ts
  var Outcome = class {
    element = el("div", { class: "outcome" });
    #timer;
    /** Runs an action; gives its result, or undefined where it failed and that has been shown. */
    async run(what2, action, shownFailure) {
      const controller = new AbortController();
      const began = performance.now();
      const passed = el("span", { class: "number" }, "0.0 s");
      const giveUp = el("button", { type: "button", class: "small", on: { click: () => controller.abort() } }, "Give up");
      fill(this.element, el("p", { class: "running" }, el("span", { class: "spinner", "aria-hidden": "true" }), `${what2} … `, passed, giveUp));
      announce(`${what2} …`);
      clearInterval(this.#timer);
      this.#timer = setInterval(() => setText(passed, `${((performance.now() - began) / 1e3).toFixed(1)} s`), 100);
      try {
        const result = await action(controller.signal);
        this.clear();
        return result;
      } catch (error) {
        const failed = asFailure(error);
        fail(failed);
        this.clear();
        this.failed(failed, shownFailure?.(failed) ?? [], performance.now() - began);
        return void 0;
      } finally {
        clearInterval(this.#timer);
      }
    }
    clear() {
      clearInterval(this.#timer);
      fill(this.element);
    }
    done(text2, ...more) {
      fill(this.element, el("div", { class: "message good" }, el("p", {}, visible(text2)), ...more));
      announce(visible(text2));
    }
    failed(failure2, more = [], after) {
      fill(this.element, failureBox(failure2, more, after));
      announce(`Failed: ${visible(failure2.message)}`);
    }
  };
  function failureBox(failure2, more = [], after) {
    return el(
      "div",
      { class: "message bad" },
      el(
        "p",
        {},
        el("strong", { class: "code-name" }, visible(failure2.code, 64)),
        " ",
        visible(failure2.message),
        after !== void 0 && el("span", { class: "after" }, ` after ${ms(after)}`)
      ),
      // A hint that only points at what stands below is for readers of JSON.
      failure2.hint !== null && !failure2.hint.startsWith("detail.") && el("p", { class: "hint" }, sentence(failure2.hint)),
      ...more
    );
  }
  var Controls = class {
    constructor(elements, because = () => null) {
      this.elements = elements;
      this.because = because;
      for (const element of elements) {
        element.dataset["title"] = element.title;
        element.addEventListener("click", (event) => {
          if (element.getAttribute("aria-disabled") !== "true") return;
          event.preventDefault();
          event.stopImmediatePropagation();
          announce(element.title);
        }, { capture: true });
      }
      access.watch(() => this.update());
      trouble.watch(() => this.update());
    }
    elements;
    because;
    #busy = false;
    update() {
      for (const element of this.elements) {
        const down = trouble.value?.nodeDown ? "The node isn't running" : null;
        const reason = access.value.reason ?? down ?? (this.#busy ? "Wait for what is being done" : null) ?? this.because(element);
        setAttribute(element, "aria-disabled", reason === null ? null : "true");
        if (element instanceof HTMLInputElement) element.readOnly = access.value.reason !== null;
        element.title = reason ?? element.dataset["title"] ?? "";
      }
    }
    get allowed() {
      return access.value.reason === null && !this.#busy;
    }
    async during(action) {
      if (this.#busy) return void 0;
      this.#busy = true;
      this.update();
      try {
        return await action();
      } finally {
        this.#busy = false;
        this.update();
      }
    }
  };

  // src/bootstrap.ts
  function bootstrapPanel() {
    const field = byId("bootstrap-address");
    const add = byId("bootstrap-add");
    const outcome = new Outcome();
    byId("bootstrap-outcome").append(outcome.element);
    const controls = new Controls([field, add, byId("from-ipfs"), byId("from-cluster")]);
    const list3 = new Drawn(byId("bootstrap-list"));
    const change = (method, multiaddr, what2, done) => controls.during(async () => {
      const reply = await outcome.run(what2, (signal2) => call(method, { multiaddr }, { signal: signal2 }));
      if (!reply) return;
      bootstrap.set(reply.bootstrap_peers);
      refresh("summary", "discovery");
      outcome.done(done(reply.changed));
      if (method === "add_bootstrap_peer") field.value = "";
      field.focus();
    });
    byId("bootstrap-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const address = field.value.trim();
      if (address === "" || !controls.allowed) return field.focus();
      void change("add_bootstrap_peer", address, "Adding", (changed) => changed ? "Added to the list" : "It was in the list already");
    });
    bootstrap.watch((now) => {
      if (now === null) return;
      list3.draw(
        now,
        () => now.length === 0 ? [el("li", { class: "hint" }, "The list is empty.")] : now.map((address) => {
          const remove = el("button", { type: "button", class: "quiet icon-only", title: "Take off the list", "aria-label": `Take ${visible(address)} off the list` }, icon("close"));
          new RemoveButton(remove, () => void change("remove_bootstrap_peer", address, "Taking off", () => "Taken off the list"));
          return el("li", { class: "with-button" }, code(address, 300), copyButton(address, "the address"), remove);
        })
      );
    });
    for (const [id, method, whom] of [["from-ipfs", "bootstrap_from_ipfs", "IPFS"], ["from-cluster", "bootstrap_from_cluster", "the cluster"]]) {
      byId(id).addEventListener(
        "click",
        () => void controls.during(async () => {
          const reply = await outcome.run(`Asking ${whom}`, (signal2) => call(method, {}, { signal: signal2 }));
          if (!reply) return;
          refresh();
          const failed = reply.failed.map(
            (one) => el("li", {}, el("bdi", { class: "code", dir: "ltr" }, shortId(one.peer_id)), " ", el("strong", { class: "code-name" }, visible(one.code, 64)), ` ${visible(one.error)}`)
          );
          outcome.done(`${plural(reply.peers.length, "peer")} named, ${reply.connected.length} connected`, failed.length > 0 && el("ul", { class: "items" }, ...failed));
        })
      );
    }
  }
  var RemoveButton = class {
    constructor(button, action) {
      button.addEventListener("click", () => {
        const reason = byId("bootstrap-add").getAttribute("aria-disabled") === "true" ? byId("bootstrap-add").title : null;
        if (reason === null) action();
        else button.title = reason;
      });
    }
  };

  // src/cards.ts
  function cards() {
    const parts = /* @__PURE__ */ new Map();
    const row2 = byId("cards");
    for (const [id, title] of [["peers", "Peers"], ["connected", "Connected"], ["discovery", "Discovery"], ["bootstrap", "Bootstrap"], ["node", "This node"]]) {
      const body = el("div", { class: "card-body" }, el("div", { class: "card-figure none" }, "–"));
      row2.append(el("div", { class: "card", id: `card-${id}` }, el("h2", {}, title), body));
      parts.set(id, new Drawn(body));
    }
    const draw2 = (id, figure, below, key) => parts.get(id)?.draw(key, () => [el("div", { class: "card-figure" }, ...figure), el("div", { class: "card-below" }, ...below)]);
    summary.watch((now) => {
      if (now === null) return;
      const { stats } = now;
      document.title = `${count(stats.connected_peers)} connected · peerkit`;
      draw2("peers", [count(stats.total_peers)], [`${count(stats.total_discovered)} found by discovery`], [stats.total_peers, stats.total_discovered]);
      draw2(
        "connected",
        [count(stats.connected_peers), el("small", {}, ` of at most ${count(stats.limits.max_connections)}`)],
        [`received ${bytes(stats.traffic.bytes_in)}, sent ${bytes(stats.traffic.bytes_out)}`],
        [stats.connected_peers, stats.limits, bytes(stats.traffic.bytes_in), bytes(stats.traffic.bytes_out)]
      );
      draw2("bootstrap", [count(stats.bootstrap_peers)], [stats.bootstrap_peers === 1 ? "address to start from" : "addresses to start from"], stats.bootstrap_peers);
    });
    discovery.watch((now) => {
      if (now === null) return;
      const on = Object.values(now.sources).filter((source) => source.enabled).length;
      draw2(
        "discovery",
        [el("span", { class: now.discovery_active ? "state on" : "state off" }, now.discovery_active ? "On" : "Off")],
        now.last_pass === null ? ["no pass yet, ", plural(on, "source")] : ["last pass ", ago(now.last_pass), `, ${plural(on, "source")}`],
        [now.discovery_active, now.last_pass, on]
      );
    });
    const uptime = el("span", { class: "number" });
    status.watch((now) => {
      if (now === null) return;
      draw2(
        "node",
        [el("bdi", { class: "code", dir: "ltr", title: now.peer_id }, shortId(now.peer_id)), copyButton(now.peer_id, "this node's peer id")],
        ["up ", uptime, ` · ${now.profile} · ${now.version}`],
        [now.peer_id, now.profile, now.version]
      );
    });
    const tickUptime = () => startedAt.value !== null && setText(uptime, span(Date.now() / 1e3 - startedAt.value));
    startedAt.watch(tickUptime);
    setInterval(tickUptime, 1e3);
  }

  // src/charts.ts
  var WIDTH = 240;
  var HEIGHT = 48;
  var PAD = 4;
  function sparkline(values) {
    const latest = values.at(-1);
    if (latest === void 0) return el("p", { class: "hint" }, "No round trip times yet: ping the peer.");
    const low = Math.min(...values);
    const high = Math.max(...values);
    const middle = [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? latest;
    const label = `Round trip times, the last ${values.length}: lowest ${ms(low)}, median ${ms(middle)}, highest ${ms(high)}`;
    const x = (i) => values.length === 1 ? WIDTH - PAD : PAD + i / (values.length - 1) * (WIDTH - 2 * PAD);
    const y = (value) => HEIGHT - PAD - value / (high * 1.1 || 1) * (HEIGHT - 2 * PAD);
    const points = values.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`);
    const area = `${x(0).toFixed(1)},${HEIGHT - PAD} ${points.join(" ")} ${x(values.length - 1).toFixed(1)},${HEIGHT - PAD}`;
    const chart = svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "sparkline", role: "img", "aria-label": label, preserveAspectRatio: "none" },
      svg("line", { x1: PAD, x2: WIDTH - PAD, y1: HEIGHT - PAD, y2: HEIGHT - PAD, class: "axis" }),
      svg("polygon", { points: area, class: "area" }),
      svg("polyline", { points: points.join(" "), class: "line" }),
      // A line of no length with round ends: a dot that stays round however wide the drawing is stretched.
      svg("line", { x1: x(values.length - 1), x2: x(values.length - 1), y1: y(latest), y2: y(latest), class: "latest" })
    );
    return el(
      "div",
      { class: "sparkline-box" },
      chart,
      el("p", { class: "sparkline-words", "aria-hidden": "true" }, `low ${ms(low)} · median ${ms(middle)} · high ${ms(high)}`)
    );
  }
  function protocolBars(protocols2, chosen, choose) {
    const top = Object.entries(protocols2).sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)).slice(0, 8);
    if (top.length === 0) return el("p", { class: "hint" }, "No peer has told its protocols yet.");
    const most = top[0]?.[1] ?? 1;
    const rows2 = top.map(([name, n]) => {
      const pressed = name === chosen;
      const button = el(
        "button",
        {
          type: "button",
          class: "bar",
          "aria-pressed": String(pressed),
          title: pressed ? "Show peers of every protocol" : "Show the peers that speak it",
          on: { click: () => choose(pressed ? "" : name) }
        },
        el("bdi", { class: "bar-name", dir: "ltr" }, visible(name, 80)),
        el("span", { class: "bar-count" }, count(n), el("span", { class: "visually-hidden" }, n === 1 ? " peer" : " peers")),
        svg(
          "svg",
          { class: "bar-line", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
          svg("rect", { x: 0, y: 0, width: 100, height: 4, class: "bar-all" }),
          svg("rect", { x: 0, y: 0, width: Math.max(1, n / most * 100), height: 4, class: "bar-part" })
        )
      );
      return el("li", {}, button);
    });
    const others = Object.keys(protocols2).length - top.length;
    return el(
      "div",
      {},
      el("ul", { class: "bars" }, ...rows2),
      others > 0 && el("p", { class: "hint" }, `and ${plural(others, "other")}; the filter above the table has them`)
    );
  }

  // src/report.ts
  function failedDial(failure2) {
    return [attemptsTable(list(failure2.detail["attempts"])), lookupsList(list(failure2.detail["lookups"]))];
  }
  function list(value) {
    return Array.isArray(value) ? value : [];
  }
  function attemptsTable(attempts) {
    if (attempts.length === 0) return null;
    const rows2 = attempts.map(
      (attempt) => el(
        "tr",
        {},
        el("td", { class: "where" }, code(attempt.address, 200), el("span", { class: "from" }, ` from ${words(attempt.source)}`)),
        el("td", { class: "stage" }, attempt.stage === null ? "connected" : words(attempt.stage)),
        el("td", { class: "why" }, ...why2(attempt)),
        el("td", { class: "number" }, ms(attempt.duration_ms))
      )
    );
    const heads = ["Address", "Stage", "What happened", "Time"].map((name) => el("th", { scope: "col" }, name));
    return el(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "What became of each address" },
      el("table", { class: "plain attempts" }, el("caption", {}, `${plural(attempts.length, "address", "addresses")}`), el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows2))
    );
  }
  function why2(attempt) {
    if (attempt.stage === null) return ["answered"];
    if (attempt.stage === "skipped") return ["not tried"];
    return [
      attempt.code !== null && el("strong", { class: "code-name" }, visible(attempt.code, 64)),
      " ",
      visible(attempt.error ?? ""),
      attempt.hint !== null && el("p", { class: "hint" }, sentence(attempt.hint))
    ];
  }
  function lookupsList(lookups) {
    if (lookups.length === 0) return null;
    const asked3 = lookups.map((lookup) => {
      const found2 = lookup.error === null ? plural(lookup.found, "address", "addresses") : visible(lookup.error);
      return el("li", {}, `${words(lookup.source)}: ${found2} in ${ms(lookup.duration_ms)}`);
    });
    return el("div", { class: "lookups" }, el("p", { class: "hint" }, "Asked for addresses:"), el("ul", {}, ...asked3));
  }

  // src/connect.ts
  function connectForm() {
    const field = byId("connect-to");
    const button = byId("connect-button");
    const outcome = new Outcome();
    byId("connect-outcome").append(outcome.element);
    const controls = new Controls([button, field]);
    byId("connect-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const to = field.value.trim();
      if (to === "" || !controls.allowed) return field.focus();
      void controls.during(async () => {
        const reached = await connect(target(to), outcome);
        if (reached === void 0) return;
        field.value = "";
        select(reached.peer_id);
      });
    });
    field.addEventListener("input", () => outcome.clear());
  }
  function target(text2) {
    return text2.startsWith("/") && !/^\/(p2p|ipfs)\/[^/]+\/?$/.test(text2) ? { multiaddr: text2 } : { peer_id: text2 };
  }
  async function connect(to, outcome) {
    const reached = await outcome.run("Connecting", (signal2) => call("connect_peer", to, { signal: signal2 }), failedDial);
    refresh("page", "summary", "peer");
    if (reached === void 0) return void 0;
    const how = reached.already_connected ? "was connected already" : `connected in ${ms(reached.duration_ms)}`;
    const failed = reached.attempts.filter((attempt) => attempt.stage !== null);
    outcome.done(
      `${shortId(reached.peer_id)} ${how}`,
      el("p", { class: "hint" }, "at ", code(reached.address, 200)),
      failed.length > 0 && attemptsTable(reached.attempts),
      lookupsList(reached.lookups)
    );
    return reached;
  }

  // src/table.ts
  var SEARCH_PAUSE_MS = 200;
  var FLASH_MS = 1600;
  var MOST_CHOICES = 250;
  var rows = /* @__PURE__ */ new Map();
  function table() {
    toolbar();
    pager();
    page.watch((now) => now !== null && show(now));
    selected.watch(mark);
    const body = byId("rows");
    body.addEventListener("keydown", keys);
    body.addEventListener("click", (event) => {
      const row2 = event.target.closest("tr[data-id]");
      if (!row2 || getSelection()?.isCollapsed === false) return;
      select(row2.dataset["id"] ?? null);
      if (detailsCover()) byId("details-title").focus();
    });
  }
  function show(now) {
    const body = byId("rows");
    const focused = body.contains(document.activeElement) ? document.activeElement : null;
    const present = new Set(now.peers.map((peer2) => peer2.peer_id));
    let gone = false;
    for (const [id, row2] of rows) {
      if (present.has(id)) continue;
      gone ||= row2.element.contains(focused);
      row2.element.remove();
      rows.delete(id);
    }
    now.peers.forEach((peer2, i) => {
      const row2 = rows.get(peer2.peer_id) ?? fresh(peer2.peer_id);
      update(row2, peer2);
      setAttribute(row2.element, "aria-rowindex", String(now.pagination.offset + i + 2));
      if (body.children[i] !== row2.element) body.insertBefore(row2.element, body.children[i] ?? null);
    });
    setAttribute(byId("peers-table"), "aria-rowcount", String(now.pagination.total + 1));
    byId("empty").hidden = now.peers.length > 0;
    if (now.peers.length === 0) setText(byId("empty"), emptyWords());
    showPager(now);
    mark();
    if (focused instanceof HTMLElement && focused.isConnected) focused.focus({ preventScroll: true });
    else if (gone) body.querySelector("tr")?.focus({ preventScroll: true });
  }
  function emptyWords() {
    const { search, protocol, connected } = view.value;
    if (search !== "" || protocol !== "" || connected !== "all") return "No peer matches. Change the search or the filters.";
    return "No peers yet. Connect to one by its address, or let discovery find some.";
  }
  function fresh(id) {
    const element = el("tr", { role: "row", "data-id": id, tabindex: -1, "aria-selected": "false" });
    const row2 = { element, shown: "", connected: false };
    rows.set(id, row2);
    return row2;
  }
  function update(row2, peer2) {
    const shown2 = JSON.stringify([peer2.connected, peer2.agent_version, peer2.direction, peer2.transport, peer2.latency_ms, peer2.last_seen, peer2.multiaddrs]);
    if (shown2 === row2.shown) return;
    const turned = row2.shown !== "" && row2.connected !== peer2.connected;
    row2.shown = shown2;
    row2.connected = peer2.connected;
    setAttribute(row2.element, "data-connected", String(peer2.connected));
    fill(row2.element, ...cells(peer2));
    if (turned) flash(row2.element);
  }
  function flash(element) {
    element.classList.add("turned");
    setTimeout(() => element.classList.remove("turned"), FLASH_MS);
  }
  function cells(peer2) {
    const cell = (name, ...children) => el("td", { role: "gridcell", class: `col-${name}` }, ...children);
    const short = el("bdi", { class: "code id", dir: "ltr", title: visible(peer2.peer_id) }, shortId(peer2.peer_id));
    const copy = copyButton(peer2.peer_id, `peer id ${shortId(peer2.peer_id)}`);
    copy.tabIndex = -1;
    const agent = remote(peer2.agent_version, 120);
    agent.title = visible(peer2.agent_version ?? "");
    return [
      cell("status", state(peer2.connected)),
      cell("peer", el("span", { class: "with-copy" }, short, copy)),
      cell("agent", agent),
      cell("transport", ...way(peer2)),
      cell("latency", peer2.latency_ms === null ? el("span", { class: "none" }, "–") : ms(peer2.latency_ms)),
      cell("seen", ago(peer2.last_seen)),
      cell("address", ...addresses(peer2.multiaddrs))
    ];
  }
  function state(connected) {
    return el("span", { class: connected ? "state on" : "state off" }, connected ? "Connected" : "Away");
  }
  function way(peer2) {
    if (peer2.transport === null) return [el("span", { class: "none" }, "–")];
    const inbound = peer2.direction === "inbound";
    const words2 = inbound ? "inbound" : "outbound";
    return [el("span", { class: "way", title: `${peer2.transport}, ${words2}` }, icon(inbound ? "in" : "out"), peer2.transport.toUpperCase(), el("span", { class: "visually-hidden" }, ` ${words2}`))];
  }
  function addresses(all) {
    const first2 = all[0];
    if (first2 === void 0) return [el("span", { class: "none" }, "none known")];
    const shown2 = code(first2, 160);
    shown2.title = visible(first2);
    const more = all.slice(1).map((address) => visible(address, 160));
    const badge = more.length > 0 && el("span", { class: "more", title: more.join("\n") }, `+${more.length}`);
    return [el("span", { class: "with-more" }, shown2, badge)];
  }
  function mark() {
    let stop;
    for (const [id, row2] of rows) {
      const chosen = id === selected.value;
      setAttribute(row2.element, "aria-selected", String(chosen));
      if (chosen || row2.element === document.activeElement) stop = row2.element;
    }
    stop ??= byId("rows").querySelector("tr") ?? void 0;
    for (const row2 of rows.values()) row2.element.tabIndex = row2.element === stop ? 0 : -1;
  }
  function keys(event) {
    const row2 = event.target.closest("tr[data-id]");
    if (!row2 || event.target !== row2 || event.altKey || event.ctrlKey || event.metaKey) return;
    const go = (to) => {
      if (!(to instanceof HTMLElement)) return;
      row2.tabIndex = -1;
      to.tabIndex = 0;
      to.focus();
    };
    switch (event.key) {
      case "ArrowDown":
        go(row2.nextElementSibling);
        break;
      case "ArrowUp":
        go(row2.previousElementSibling);
        break;
      case "Home":
        go(row2.parentElement?.firstElementChild ?? null);
        break;
      case "End":
        go(row2.parentElement?.lastElementChild ?? null);
        break;
      case "PageDown":
        step(1);
        break;
      case "PageUp":
        step(-1);
        break;
      case "Enter":
      case " ":
        select(row2.dataset["id"] ?? null);
        byId("details-title").focus();
        break;
      default:
        return;
    }
    event.preventDefault();
  }
  function detailsCover() {
    return getComputedStyle(byId("details")).position === "fixed";
  }
  function focusRow(id) {
    (rows.get(id)?.element ?? byId("rows").querySelector("tr") ?? byId("search")).focus();
  }
  function toolbar() {
    const search = byId("search");
    let timer2;
    const apply = () => {
      clearTimeout(timer2);
      if (search.value.trim() !== view.value.search) look({ search: search.value.trim() });
    };
    search.addEventListener("input", () => {
      clearTimeout(timer2);
      timer2 = setTimeout(apply, SEARCH_PAUSE_MS);
    });
    search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") apply();
      if (event.key === "Escape" && search.value !== "") {
        event.stopPropagation();
        search.value = "";
        apply();
      }
      if (event.key === "ArrowDown") byId("rows").querySelector("tr[tabindex='0']")?.focus();
    });
    const protocol = byId("protocol");
    protocol.addEventListener("change", () => look({ protocol: choices[Number(protocol.value)] ?? "" }));
    summary.watch((now) => now !== null && showProtocols(protocol, now.protocols));
    view.watch(() => summary.value !== null && showProtocols(protocol, summary.value.protocols));
    const connected = byId("connected");
    connected.addEventListener("change", () => look({ connected: connected.value }));
    const sort = byId("sort");
    sort.addEventListener("change", () => look({ sort: sort.value }));
    for (const header2 of document.querySelectorAll("th[data-sort]")) {
      header2.querySelector("button")?.addEventListener("click", () => look({ sort: header2.dataset["sort"] }));
    }
    view.watch((now) => {
      sort.value = now.sort;
      for (const header2 of document.querySelectorAll("th[data-sort]")) {
        const by = header2.dataset["sort"] === now.sort;
        setAttribute(header2, "aria-sort", by ? header2.dataset["order"] ?? "ascending" : "none");
      }
    });
  }
  var choices = [];
  var choicesShown = "";
  function showProtocols(field, protocols2) {
    const names = Object.keys(protocols2).sort().slice(0, MOST_CHOICES);
    const chosen = view.value.protocol;
    if (chosen !== "" && !names.includes(chosen)) names.unshift(chosen);
    const key = JSON.stringify([names, names.map((name) => protocols2[name]), chosen]);
    if (key === choicesShown || document.activeElement === field && field.matches(":open")) return;
    choicesShown = key;
    choices = ["", ...names];
    const options = choices.map(
      (name, i) => el("option", { value: i, selected: name === chosen }, name === "" ? "Any protocol" : `${visible(name, 64)} (${count(protocols2[name] ?? 0)})`)
    );
    fill(field, ...options);
  }
  function step(pages) {
    const now = page.value?.pagination;
    if (!now) return;
    const to = view.value.offset + pages * view.value.limit;
    if (to < 0 || to >= now.total) return;
    turn(to);
  }
  function pager() {
    const go = (id, where) => byId(id).addEventListener("click", where);
    go("page-first", () => turn(0));
    go("page-previous", () => step(-1));
    go("page-next", () => step(1));
    go("page-last", () => {
      const { total } = page.value?.pagination ?? { total: 0 };
      turn(Math.max(0, Math.ceil(total / view.value.limit) - 1) * view.value.limit);
    });
    for (const name of ["first", "previous", "next", "last"]) byId(`page-${name}`).append(icon(name));
    const limit = byId("limit");
    limit.addEventListener("change", () => look({ limit: Number(limit.value) }));
  }
  var announced = "";
  function showPager(now) {
    const { total, offset, limit } = now.pagination;
    const from = total === 0 ? 0 : offset + 1;
    const to = offset + now.peers.length;
    setText(byId("page-words"), total === 0 ? "0 peers" : `${count(from)}–${count(to)} of ${count(total)}`);
    const atStart = offset === 0;
    const atEnd = offset + limit >= total;
    for (const [id, off] of [["page-first", atStart], ["page-previous", atStart], ["page-next", atEnd], ["page-last", atEnd]]) {
      setAttribute(byId(id), "aria-disabled", off ? "true" : null);
      byId(id).disabled = off && document.activeElement !== byId(id);
    }
    const { search, protocol, connected } = view.value;
    const asked3 = JSON.stringify([search, protocol, connected, offset]);
    if (asked3 !== announced && announced !== "") announce(total === 1 ? "1 peer" : `${total} peers, showing ${from} to ${to}`);
    announced = asked3;
  }

  // src/details.ts
  var MOST_TIMES = 60;
  var MOST_SERIES = 500;
  var PINGS = 5;
  var series = /* @__PURE__ */ new Map();
  function measured(id, ...times) {
    const all = [...series.get(id) ?? [], ...times].slice(-MOST_TIMES);
    series.delete(id);
    series.set(id, all);
    for (const oldest of series.keys()) {
      if (series.size <= MOST_SERIES) break;
      series.delete(oldest);
    }
  }
  function rowTimes() {
    const seen = /* @__PURE__ */ new Map();
    page.watch((now) => {
      for (const row2 of now?.peers ?? []) {
        if (row2.latency_ms !== null && seen.get(row2.peer_id) !== row2.latency_ms) measured(row2.peer_id, row2.latency_ms);
        seen.set(row2.peer_id, row2.latency_ms);
      }
      if (seen.size > 4 * MOST_SERIES) seen.clear();
    });
  }
  var connectedNow = false;
  var armed = false;
  function details() {
    rowTimes();
    const pane = byId("details");
    const parts = new Map([...byId("details-body").children].map((part) => [part.id, new Drawn(part)]));
    const outcome = new Outcome();
    byId("details-outcome").append(outcome.element);
    const controls = actions(outcome);
    byId("details-close").addEventListener("click", close);
    pane.addEventListener("keydown", (event) => event.key === "Escape" && close());
    selected.watch((id) => {
      outcome.clear();
      disarm();
      pane.hidden = id === null;
      document.body.toggleAttribute("data-details", id !== null);
      if (id === null) return;
      fill(byId("details-title"), el("bdi", { class: "code", dir: "ltr", title: visible(id) }, shortId(id)));
      byId("details-id").replaceChildren(code(id), copyButton(id, "the peer id"));
      for (const scrolled of [pane, pane.parentElement]) scrolled?.scrollTo(0, 0);
      const row2 = page.value?.peers.find((known) => known.peer_id === id);
      if (row2) announce(`Details of ${shortId(id)}`);
    });
    peer.watch((now) => {
      const unknown = now instanceof Failure;
      byId("details-body").hidden = now === null || unknown;
      fill(byId("details-unknown"), unknown && failureBox(now));
      if (now === null || unknown) {
        connectedNow = false;
        fill(byId("details-state"));
      } else {
        connectedNow = now.connected;
        draw(parts, now);
      }
      controls.update();
    });
  }
  function close() {
    const id = selected.value;
    select(null);
    if (id !== null) focusRow(id);
  }
  function actions(outcome) {
    const button = (name) => byId(`do-${name}`);
    const controls = new Controls([button("connect"), button("disconnect"), button("ping"), button("forget")], (element) => {
      if (peer.value === null || peer.value instanceof Failure) return "Nothing is known of this peer";
      if (element.id === "do-connect" && connectedNow) return "It is connected";
      if ((element.id === "do-disconnect" || element.id === "do-ping") && !connectedNow) return "It isn't connected";
      return null;
    });
    const act = (name, action) => button(name).addEventListener("click", () => {
      const id = selected.value;
      if (id !== null && controls.allowed) void controls.during(() => action(id));
    });
    act("connect", async (id) => {
      await connect({ peer_id: id }, outcome);
    });
    act("disconnect", async (id) => {
      const done = await outcome.run("Disconnecting", (signal2) => call("disconnect_peer", { peer_id: id }, { signal: signal2 }));
      refresh("page", "summary", "peer");
      if (done) outcome.done(done.was_connected ? "Disconnected. It isn't dialled again unasked." : "It wasn't connected any more.");
    });
    act("ping", (id) => ping(id, outcome));
    button("forget").addEventListener("blur", disarm);
    act("forget", async (id) => {
      if (!armed) {
        armed = true;
        setText(button("forget"), "Really forget?");
        announce("Press again to forget this peer: its addresses, tags and history");
        return;
      }
      disarm();
      const done = await outcome.run("Forgetting", (signal2) => call("remove_peer", { peer_id: id }, { signal: signal2 }));
      refresh("page", "summary");
      if (done && selected.value === id) close();
    });
    return controls;
  }
  function disarm() {
    armed = false;
    setText(byId("do-forget"), "Forget");
  }
  async function ping(id, outcome) {
    const pinged = await outcome.run("Pinging", (signal2) => call("ping_peer", { peer_id: id, count: PINGS }, { signal: signal2 }));
    refresh("peer", "page");
    if (pinged === void 0) return;
    const times = pinged.rtts_ms;
    measured(id, ...times);
    const mean = times.reduce((sum, time) => sum + time, 0) / (times.length || 1);
    outcome.done(
      `${count(pinged.received)} of ${plural(pinged.sent, "ping")} answered${times.length > 0 ? `, ${ms(mean)} on average` : ""}`,
      times.length > 0 && el("p", { class: "rtts number" }, times.map(ms).join(" · "))
    );
  }
  function draw(parts, now) {
    const part = (name, key, children) => parts.get(`details-${name}`)?.draw(key, children);
    fill(byId("details-state"), state(now.connected));
    const { connections: _c, protocols: _p, multiaddrs: _m, metadata: _d, ...facts } = now;
    part("facts", facts, () => factList(now));
    const times = series.get(now.peer_id) ?? [];
    part("latency", [now.peer_id, times], () => [heading("Latency"), sparkline(times)]);
    part("connections", now.connections, () => connections(now));
    part("addresses", [now.peer_id, now.multiaddrs], () => [heading("Addresses", now.multiaddrs.length), addresses2(now)]);
    part("protocols", now.protocols, () => [heading("Protocols", now.protocols.length), protocols(now)]);
    part("tags", [now.tags, now.metadata], () => own(now));
  }
  function heading(text2, number) {
    return el("h3", {}, text2, number !== void 0 && el("span", { class: "badge" }, count(number)));
  }
  function factList(now) {
    const facts = [
      ["Agent", [remote(now.agent_version)]],
      ["Protocol family", [remote(now.protocol_version)]],
      ["Transport", way(now)],
      ["Latency", [ms(now.latency_ms)]],
      ["Last seen", [ago(now.last_seen)]],
      ["First seen", [ago(now.first_seen)]],
      ["Known from", now.sources.map((source) => el("span", { class: "chip" }, words(source)))],
      ["Policy", [words(now.policy)]],
      ["Cluster member", [now.cluster_peer ? "yes" : "no"]],
      ["Connects asked for", [count(now.connection_attempts), now.last_connection_attempt !== null && ", last ", now.last_connection_attempt !== null && ago(now.last_connection_attempt)]],
      ["Connections made", [count(now.successful_connections), now.last_successful_connection !== null && ", last ", now.last_successful_connection !== null && ago(now.last_successful_connection)]],
      ["Last disconnect", now.last_disconnect === null ? [ago(null)] : [words(now.last_disconnect.reason), ", ", ago(now.last_disconnect.at)]],
      ["Next try", [ago(now.next_retry_at)]],
      ["Shared", [`${plural(now.shared_pins.length, "pin")}, ${plural(now.shared_files.length, "file")}`]]
    ];
    const error = now.last_error;
    return [
      error !== null && el("div", { class: "message bad" }, el("p", {}, "Last failure: ", el("strong", { class: "code-name" }, visible(error.code, 64)), " ", visible(error.message)), el("p", { class: "hint" }, ago(error.at))),
      el("dl", {}, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, ...value)]))
    ];
  }
  function connections(now) {
    const items = now.connections.map(
      (connection) => el("li", {}, code(connection.address, 300), el("span", { class: "from" }, ...way({ transport: connection.transport, direction: connection.direction === "inbound" ? "inbound" : "outbound" }), " opened ", ago(connection.opened_at)))
    );
    return [heading("Connections", now.connections.length), items.length === 0 ? el("p", { class: "hint" }, "None.") : el("ul", { class: "items" }, ...items)];
  }
  function addresses2(now) {
    if (now.multiaddrs.length === 0) return el("p", { class: "hint" }, "None known: connecting asks the DHT and the connected peers.");
    const items = now.multiaddrs.map((address) => el("li", { class: "with-button" }, code(address, 400), copyButton(`${address}/p2p/${now.peer_id}`, "the whole address")));
    return el("ul", { class: "items" }, ...items);
  }
  function protocols(now) {
    if (now.protocols.length === 0) return el("p", { class: "hint" }, "It hasn't told any.");
    return el("ul", { class: "items tight" }, ...now.protocols.map((name) => el("li", {}, code(name, 200))));
  }
  function own(now) {
    const tags = Object.entries(now.tags);
    const metadata = Object.entries(now.metadata);
    const chips = tags.map(([tag, weight]) => el("span", { class: "chip" }, remote(tag, 80), el("span", { class: "weight" }, ` ${count(weight)}`)));
    const values = metadata.flatMap(([key, value]) => [el("dt", {}, remote(key, 80)), el("dd", {}, remote(typeof value === "string" ? value : JSON.stringify(value), 2e3))]);
    return [
      heading("Tags", tags.length),
      tags.length === 0 ? el("p", { class: "hint" }, "None.") : el("p", { class: "chips" }, ...chips),
      heading("Metadata", metadata.length),
      metadata.length === 0 ? el("p", { class: "hint" }, "None.") : el("dl", {}, ...values)
    ];
  }

  // src/discovery.ts
  function discoveryPanel() {
    const toggle = byId("discovery-toggle");
    const look2 = byId("discovery-look");
    const outcome = new Outcome();
    byId("discovery-outcome").append(outcome.element);
    const controls = new Controls([toggle, look2]);
    const words2 = new Drawn(byId("discovery-words"));
    const sources = new Drawn(byId("discovery-sources"));
    discovery.watch((now) => {
      if (now === null) return;
      setText(toggle, now.discovery_active ? "Stop" : "Start");
      words2.draw([now.discovery_active, now.interval_s, now.last_pass, now.total_discovered], () => summary2(now));
      sources.draw(now.sources, () => [table2(now)]);
    });
    toggle.addEventListener("click", () => {
      const stop = discovery.value?.discovery_active === true;
      void controls.during(async () => {
        const done = await outcome.run(stop ? "Stopping discovery" : "Starting discovery", (signal2) => call(stop ? "stop_discovery" : "start_discovery", {}, { signal: signal2 }));
        if (done) took2(done);
      });
    });
    look2.addEventListener("click", () => {
      void controls.during(async () => {
        const done = await outcome.run("Looking for peers", (signal2) => call("discover_peers", {}, { signal: signal2 }));
        if (!done) return;
        took2(done);
        const found2 = done.discovered_peers.length;
        outcome.done(found2 === 0 ? "No peer that wasn't known" : `${plural(found2, "new peer")} found`, !done.complete && el("p", { class: "hint" }, "The pass goes on."));
      });
    });
  }
  function took2(done) {
    discovery.set(done);
    refresh("summary", "page", "discovery");
  }
  function summary2(now) {
    return [
      el("span", { class: now.discovery_active ? "state on" : "state off" }, now.discovery_active ? `On, a pass every ${span(now.interval_s)}` : "Off: nothing is asked or dialled unasked"),
      el("span", { class: "from" }, "last pass ", ago(now.last_pass), ` · ${count(now.total_discovered)} found since start`)
    ];
  }
  function table2(now) {
    const entries = Object.entries(now.sources).sort(([, a], [, b]) => Number(b.enabled) - Number(a.enabled));
    if (entries.length === 0) return el("p", { class: "hint" }, "No source.");
    const heads = [["Source", "What a source is"], ["New", "New peers in the last pass"], ["All", "New peers since start"], ["Heard", "How often it told of any peer"]];
    return el(
      "table",
      { class: "plain sources" },
      el("caption", { class: "visually-hidden" }, "Sources of discovery"),
      el("thead", {}, el("tr", {}, ...heads.map(([name, title], i) => el("th", { scope: "col", title: i === 0 ? null : title, class: i === 0 ? null : "number" }, name ?? "")))),
      ...entries.map(([name, source]) => el("tbody", { class: source.enabled ? null : "off" }, ...sourceRows(name, source)))
    );
  }
  function sourceRows(name, source) {
    const number = (value) => el("td", { class: "number" }, source.enabled || value > 0 ? count(value) : "");
    const row2 = el("tr", {}, el("th", { scope: "row" }, words(name), !source.enabled && el("span", { class: "from" }, " off")), number(source.found), number(source.total_found), number(source.heard));
    const dropped = Object.entries(source.dropped);
    const notes = [
      source.enabled && source.note !== null && el("p", { class: "hint" }, visible(source.note)),
      source.last_error !== null && el("p", { class: "bad-text" }, el("strong", { class: "code-name" }, visible(source.last_error.code, 64)), ` ${visible(source.last_error.message)} · `, ago(source.last_error.at)),
      dropped.length > 0 && el("p", { class: "hint" }, `refused: ${dropped.map(([reason, n]) => `${visible(reason, 40)} ${count(n)}`).join(", ")}`)
    ];
    if (!notes.some(Boolean)) return [row2];
    return [row2, el("tr", { class: "notes" }, el("td", { colspan: 4 }, ...notes))];
  }

  // src/feed.ts
  var MOST = 500;
  var KINDS = ["peer_discovered", "peer_connected", "peer_identified", "peer_disconnected", "dial_failed", "listen_addr", "external_addr", "discovery", "message", "stopped"];
  var events = [];
  var waiting = [];
  var paused = false;
  var kind = "";
  var drawing = false;
  function feed() {
    const filter = byId("feed-kind");
    filter.append(el("option", { value: "" }, "All kinds"), ...KINDS.map((name) => el("option", { value: name }, words(name))));
    filter.addEventListener("change", () => {
      kind = filter.value;
      redraw();
    });
    const pause = byId("feed-pause");
    pause.addEventListener("click", () => {
      paused = !paused;
      pause.setAttribute("aria-pressed", String(paused));
      if (!paused) {
        const late = waiting;
        waiting = [];
        events = [...events, ...late].slice(-MOST);
        redraw();
      }
      showWaiting();
    });
    byId("feed-clear").addEventListener("click", () => {
      events = [];
      waiting = [];
      redraw();
      showWaiting();
    });
    byId("feed-rows").addEventListener("click", (event) => {
      const button = event.target.closest("button[data-id]");
      if (button) select(button.dataset["id"] ?? null);
    });
    redraw();
  }
  function show2(event) {
    const list3 = paused ? waiting : events;
    list3.push(event);
    if (list3.length > MOST) list3.splice(0, list3.length - MOST);
    if (paused) showWaiting();
    else later();
  }
  function lost(number) {
    show2({ seq: 0, timestamp: Date.now() / 1e3, peer_id: null, event: "lagged", lagged: number });
  }
  var drawnUpTo;
  function later() {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      const from = drawnUpTo === void 0 ? 0 : events.lastIndexOf(drawnUpTo) + 1;
      const rows2 = byId("feed-rows");
      for (const event of events.slice(from)) if (wanted(event)) rows2.prepend(row(event));
      while (rows2.children.length > MOST) rows2.lastElementChild?.remove();
      drawnUpTo = events.at(-1);
      showEmpty();
    });
  }
  function redraw() {
    byId("feed-rows").replaceChildren(...events.filter(wanted).map(row).reverse());
    drawnUpTo = events.at(-1);
    showEmpty();
  }
  function wanted(event) {
    return kind === "" || event.event === kind || event.event === "lagged";
  }
  function showEmpty() {
    byId("feed-empty").hidden = byId("feed-rows").children.length > 0;
  }
  function showWaiting() {
    setText(byId("feed-pause"), paused ? `Resume${waiting.length > 0 ? ` (${waiting.length}${waiting.length === MOST ? "+" : ""} new)` : ""}` : "Pause");
  }
  function row(event) {
    const who = event.peer_id;
    return el(
      "li",
      { "data-kind": event.event },
      el("time", { class: "number", datetime: new Date(event.timestamp * 1e3).toISOString() }, clock(event.timestamp)),
      el("span", { class: "kind" }, words(event.event)),
      who === null ? el("span", { class: "who none" }, "this node") : el("button", { type: "button", class: "who link", "data-id": who, title: visible(who) }, el("bdi", { class: "code", dir: "ltr" }, shortId(who))),
      el("span", { class: "what" }, ...what(event))
    );
  }
  function text(event, field) {
    const value = event[field];
    return typeof value === "string" ? value : "";
  }
  function what(event) {
    switch (event.event) {
      case "peer_discovered":
        return [`by ${words(text(event, "source"))} `, ...first(event["multiaddrs"])];
      case "peer_connected":
        return [`${words(text(event, "direction"))}, ${words(text(event, "transport"))} `, code(text(event, "address"), 200)];
      case "peer_identified":
        return [remote(text(event, "agent_version"), 120), ` speaks ${plural(list2(event["protocols"]).length, "protocol")}`];
      case "peer_disconnected":
        return [words(text(event, "reason")), event["inferred"] === true ? " (inferred)" : "", text(event, "error") === "" ? "" : `: ${visible(text(event, "error"))}`];
      case "dial_failed":
        return [el("strong", { class: "code-name" }, visible(text(event, "code"), 64)), ` ${visible(text(event, "error"))} (${words(text(event, "source"))})`];
      case "listen_addr":
      case "external_addr":
        return [`${event["event"] === "listen_addr" ? "listening" : "reachable"} ${event["active"] === true ? "at" : "no longer at"} `, code(text(event, "address"), 200)];
      case "discovery":
        return [found(event["found"]), ` in ${ms(Number(event["duration_ms"] ?? 0))}`];
      case "message":
        return [`${bytes(text(event, "data_base64").length * 3 / 4)} on `, remote(text(event, "topic"), 120)];
      case "stopped":
        return [`the node stopped: ${words(text(event, "code"))}`];
      case "lagged":
        return [`${plural(Number(event["lagged"]), "event")} lost: they came faster than they could be read`];
      default:
        return [visible(JSON.stringify(event), 300)];
    }
  }
  function list2(value) {
    return Array.isArray(value) ? value : [];
  }
  function first(addresses3) {
    const all = list2(addresses3);
    return all.length === 0 ? [] : [code(String(all[0]), 200), all.length > 1 ? ` +${all.length - 1}` : ""];
  }
  function found(value) {
    const by = Object.entries(value ?? {}).filter(([, n]) => n > 0);
    return by.length === 0 ? "a pass found nobody new" : `a pass found ${by.map(([source, n]) => `${n} by ${words(source)}`).join(", ")}`;
  }

  // src/sse.ts
  var link = signal({ state: "connecting" });
  var SILENCE_MS = 4e4;
  var FIRST_PAUSE_MS = 500;
  var LAST_PAUSE_MS = 1e4;
  var wake;
  var current;
  var asked2 = false;
  function reconnect() {
    asked2 = true;
    current?.abort();
    wake?.();
  }
  async function follow(reader) {
    let pause = FIRST_PAUSE_MS;
    for (; ; ) {
      const began = performance.now();
      asked2 = false;
      const failed = await once(reader).catch(asFailure);
      if (asked2) continue;
      if (performance.now() - began > 5e3) pause = FIRST_PAUSE_MS;
      const wait = pause * (0.75 + Math.random() / 2);
      link.set({ state: "lost", failure: failed, retryAt: Date.now() + wait });
      await new Promise((resolve) => {
        wake = resolve;
        setTimeout(resolve, wait);
      });
      pause = Math.min(pause * 2, LAST_PAUSE_MS);
    }
  }
  async function once(reader) {
    const controller = new AbortController();
    current = controller;
    const since = await reader.prepare();
    let silence = setTimeout(() => controller.abort(), SILENCE_MS);
    const heard2 = () => {
      clearTimeout(silence);
      silence = setTimeout(() => controller.abort(), SILENCE_MS);
    };
    try {
      const body = await open(since, controller.signal);
      link.set({ state: "live" });
      reader.opened();
      const parser = new Parser(reader);
      const text2 = body.pipeThrough(new TextDecoderStream()).getReader();
      for (; ; ) {
        const { done, value } = await text2.read();
        if (done) return new Failure("closed", "The event stream ended");
        heard2();
        parser.push(value);
      }
    } catch (error) {
      if (error instanceof Failure) throw error;
      throw new Failure("unreachable", "The event stream broke off");
    } finally {
      clearTimeout(silence);
      controller.abort();
    }
  }
  async function open(since, abort) {
    const response = await fetch("/api/events", {
      headers: headers({ Accept: "text/event-stream", "Last-Event-ID": String(since) }),
      credentials: "omit",
      cache: "no-store",
      signal: abort
    });
    if (response.ok && response.body) return response.body;
    throw failure(await response.json().catch(() => ({})), response.status);
  }
  var Parser = class {
    constructor(reader) {
      this.reader = reader;
    }
    reader;
    #rest = "";
    #data = [];
    #kind = "";
    push(text2) {
      const lines = (this.#rest + text2).split(/\r\n|\n|\r(?!$)/);
      this.#rest = lines.pop() ?? "";
      for (const line of lines) this.#line(line);
    }
    #line(line) {
      if (line === "") return this.#dispatch();
      if (line.startsWith(":")) return;
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "data") this.#data.push(value);
      if (field === "event") this.#kind = value;
    }
    #dispatch() {
      const data = this.#data.join("\n");
      const kind2 = this.#kind;
      this.#data = [];
      this.#kind = "";
      if (data === "") return;
      const message = JSON.parse(data);
      if (kind2 === "lagged") this.reader.lagged(Number(message["lagged"] ?? 0));
      else if (kind2 === "reset") this.reader.reset();
      else if (typeof message["event"] === "string") this.reader.event(message);
    }
  };

  // src/header.ts
  function header() {
    link.watch(showLink);
    access.watch(showAccess);
    trouble.watch(showBanner);
    link.watch(showBanner);
    status.watch(showWarnings);
    setInterval(() => link.value.state === "lost" && showLink(), 500);
    tokenDialog();
  }
  function showLink() {
    const box = byId("link");
    const now = link.value;
    setAttribute(box, "data-state", now.state);
    if (now.state === "live") setText(byId("link-words"), "Live");
    else if (!access.value.reads) setText(byId("link-words"), "Not live: it needs the token");
    else if (now.state === "connecting") setText(byId("link-words"), "Connecting …");
    else {
      const seconds = Math.max(0, Math.ceil((now.retryAt - Date.now()) / 1e3));
      setText(byId("link-words"), seconds > 0 ? `Not live: trying again in ${seconds} s` : "Not live: trying again …");
    }
  }
  function showAccess() {
    const button = byId("access");
    const now = access.value;
    setText(button, now.readOnly ? "Read-only" : now.acts ? hasToken() ? "Full access" : "Open access" : now.reads ? "View only" : "Locked");
    setAttribute(button, "data-level", now.acts ? "acts" : "reads");
    button.title = now.reason ?? "This page may read and act. Press to change the token";
  }
  var shown = "";
  function showBanner() {
    const banner = byId("banner");
    const failed = trouble.value;
    const lost2 = link.value.state === "lost" && link.value.failure.unreachable ? link.value.failure : null;
    const key = JSON.stringify([failed?.code, failed?.message, failed?.hint, lost2?.message]);
    if (key === shown) return;
    shown = key;
    banner.hidden = lost2 === null && failed === null;
    if (lost2 !== null) {
      fill(
        banner,
        icon("warning"),
        el("div", {}, el("strong", {}, "Connection lost. "), `${visible(lost2.message)}; what you see is how it was.`, el("p", { class: "hint" }, visible(lost2.hint ?? ""))),
        el("button", { type: "button", on: { click: reconnect } }, "Try now")
      );
    } else if (failed?.tokenRefused) {
      fill(
        banner,
        icon("warning"),
        el("div", {}, el("strong", {}, "This node asks for a token. "), `${visible(failed.message)}.`, el("p", { class: "hint" }, "`peerkit serve` says which file it is in.")),
        el("button", { type: "button", class: "primary", on: { click: openTokenDialog } }, "Enter token")
      );
    } else if (failed !== null) {
      fill(
        banner,
        icon("warning"),
        el(
          "div",
          {},
          el("strong", {}, "The node isn't running. "),
          el("span", { class: "code-name" }, visible(failed.code, 64)),
          ` ${visible(failed.message)}`,
          el("p", { class: "hint" }, failed.hint === null ? "" : `${sentence(failed.hint)}. `, "It is tried again by itself; this page follows.")
        ),
        el("button", { type: "button", on: { click: reconnect } }, "Look now")
      );
    }
  }
  function showWarnings() {
    const warnings = status.value?.warnings ?? [];
    const box = byId("warnings");
    box.hidden = warnings.length === 0;
    fill(box, ...warnings.map((warning) => el("li", {}, visible(warning))));
  }
  function openTokenDialog() {
    const dialog = byId("token-dialog");
    byId("token").value = "";
    setText(byId("token-note"), access.value.reason ?? "The token in use is accepted.");
    byId("token-forget").hidden = !hasToken();
    if (!dialog.open) dialog.showModal();
  }
  function tokenDialog() {
    const dialog = byId("token-dialog");
    const field = byId("token");
    byId("access").addEventListener("click", openTokenDialog);
    byId("token-cancel").addEventListener("click", () => dialog.close());
    byId("token-forget").addEventListener("click", () => void use("", dialog));
    byId("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (field.value.trim() !== "") void use(field.value.trim(), dialog);
    });
  }
  async function use(token2, dialog) {
    setToken(token2);
    byId("token").value = "";
    await loadAccess().catch(() => void 0);
    if (token2 !== "" && !access.value.acts && !access.value.readOnly) {
      setText(byId("token-note"), access.value.reason ?? "The token was refused");
      return;
    }
    dialog.close();
    refresh();
    reconnect();
  }

  // src/node.ts
  function nodePanel() {
    const list3 = new Drawn(byId("listen-list"));
    status.watch((now) => {
      if (now === null) return;
      list3.draw(
        now.listen_addrs,
        () => now.listen_addrs.length === 0 ? [el("li", { class: "hint" }, "It listens nowhere.")] : now.listen_addrs.map((address) => el("li", { class: "with-button" }, code(address), copyButton(address, "the address")))
      );
    });
  }

  // src/main.ts
  function protocolPanel() {
    const chart = new Drawn(byId("protocols"));
    const draw2 = () => {
      const protocols2 = summary.value?.protocols;
      if (protocols2) chart.draw([protocols2, view.value.protocol], () => [protocolBars(protocols2, view.value.protocol, (protocol) => look({ protocol }))]);
    };
    summary.watch(draw2);
    view.watch(draw2);
  }
  function shortcuts() {
    document.addEventListener("keydown", (event) => {
      const at = event.target;
      const typing = at instanceof HTMLInputElement || at instanceof HTMLSelectElement;
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        byId("search").select();
        byId("search").focus();
      }
      if (event.key === "Escape" && !event.defaultPrevented && selected.value !== null && !document.querySelector("dialog[open]")) {
        const id = selected.value;
        select(null);
        focusRow(id);
      }
    });
  }
  var lastSeq = 0;
  function start() {
    header();
    cards();
    table();
    connectForm();
    details();
    discoveryPanel();
    bootstrapPanel();
    nodePanel();
    protocolPanel();
    feed();
    shortcuts();
    setInterval(tick, 1e3);
    addEventListener("hashchange", () => {
      if (readAddress()) reconnect();
    });
    keepCurrent();
    void follow({
      async prepare() {
        if (await begin()) lastSeq = 0;
        return lastSeq;
      },
      opened: () => refresh(),
      event(event) {
        lastSeq = event.event === "stopped" ? 0 : event.seq;
        show2(event);
        heard(event);
      },
      lagged: lost,
      reset() {
        lastSeq = 0;
      }
    });
  }
  start();
})();
