/* SPDX-License-Identifier: MIT */
// The conversation of one simulated call: items in order, as the service keeps them.

/** Text of an item's content, whatever its kind. */
export function itemText(item) {
  return (item.content ?? []).map((c) => c.transcript ?? c.text ?? '').filter(Boolean).join(' ');
}

export class Conversation {
  constructor() {
    this.items = [];
    this.byId = new Map();
  }

  has(id) {
    return this.byId.has(id);
  }

  get(id) {
    return this.byId.get(id) ?? null;
  }

  /** The id of the item before `id`, or null. */
  previous(id) {
    const at = this.items.findIndex((item) => item.id === id);
    return at > 0 ? this.items[at - 1].id : null;
  }

  /** The id of the last item, or null. */
  last() {
    return this.items.at(-1)?.id ?? null;
  }

  /** Inserts after `previousId` (undefined: at the end, 'root': first). False: no such item. */
  insert(item, previousId) {
    if (previousId === undefined || previousId === null) {
      this.items.push(item);
    } else if (previousId === 'root') {
      this.items.unshift(item);
    } else {
      const at = this.items.findIndex((other) => other.id === previousId);
      if (at < 0)
        return false;
      this.items.splice(at + 1, 0, item);
    }
    this.byId.set(item.id, item);
    return true;
  }

  /** Removes an item; false when there is none. */
  remove(id) {
    const at = this.items.findIndex((item) => item.id === id);
    if (at < 0)
      return false;
    this.items.splice(at, 1);
    this.byId.delete(id);
    return true;
  }
}
