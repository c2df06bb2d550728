// A value that tells when it changes.

export interface Signal<T> {
  readonly value: T;
  set(value: T): void;
  /** Calls at once and at every change. */
  watch(listener: (value: T) => void): void;
}

export function signal<T>(initial: T): Signal<T> {
  let value = initial;
  const listeners: ((value: T) => void)[] = [];
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
    },
  };
}
