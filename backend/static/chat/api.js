// Calls of /api/v1, with the token of whoever is signed in, renewed once where it is refused.

export class ApiError extends Error {
  constructor(status, type, message) {
    super(message);
    this.status = status;
    this.type = type;
  }
}

export class Api {
  constructor(account) { this.account = account; }

  get(path) { return this.call("GET", path); }
  post(path, body) { return this.call("POST", path, body); }
  patch(path, body) { return this.call("PATCH", path, body); }
  delete(path) { return this.call("DELETE", path); }

  /** The answer's JSON; null where there is no body. Throws ApiError. */
  async call(method, path, body) {
    const answer = await this.raw(method, path, body);
    return answer.status === 204 ? null : answer.json();
  }

  /** The response itself, which is a good one. Throws ApiError. */
  async raw(method, path, body, options = {}) {
    let answer = await this.#send(method, path, body, options);
    if (answer.status === 401 && this.account.signedIn) {
      const used = answer.used;
      if (await this.account.renew(used).catch(() => false)) answer = await this.#send(method, path, body, options);
    }
    if (answer.ok) return answer;
    const error = await answer.json().catch(() => ({}));
    throw new ApiError(answer.status, error.type ?? "unknown", error.detail ?? `The server answered ${answer.status}.`);
  }

  async #send(method, path, body, options) {
    const token = await this.account.token().catch(() => this.account.login?.access ?? null);
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(`/api/v1${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), ...options });
    } catch {
      throw new ApiError(0, "unreachable", "The server cannot be reached.");
    }
    answer.used = token;
    return answer;
  }
}
