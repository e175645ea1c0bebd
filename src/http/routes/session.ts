import type { AddResource } from './index.js';
import type { Login } from '../../auth/auth.js';
import { badContentType, badRequest, invalidJson, unauthorized } from '../../errors.js';
import { parseJson } from '../../json/text.js';
import { readBody, readText } from '../body.js';
import { errorBody } from '../errors.js';
import type { Exchange } from '../exchange.js';
import { parseQuery } from '../query.js';
import { onServer } from '../resource.js';

/** Names and passwords are short; nobody who is not logged in yet may send more. */
const MAX_FORM = 65_536;

export function sessionRoutes(add: AddResource): void {
  add({
    path: '/_session',
    allow: 'GET,HEAD,POST,DELETE',
    methods: {
      GET: onServer('anyone', show),
      POST: onServer('anyone', login),
      DELETE: onServer('anyone', logout),
    },
    other: onServer('anyone'),
  });
}

function show(exchange: Exchange): void {
  const { user, authMethod } = exchange;
  if (user.name === null && exchange.parameter('basic') === 'true') throw unauthorized('Please login.');
  exchange.json(200, JSON.stringify(exchange.server.auth.sessionInfo({ user, method: authMethod })));
}

async function login(exchange: Exchange): Promise<void> {
  const form = await readForm(exchange);
  const { name, ...given } = credentials(form);
  const result = await exchange.server.auth.login({ name, ...given }, exchange);
  const cookie = ['Set-Cookie', result.cookie];
  if (result.ok) {
    const { roles } = result.user;
    answer(exchange, 200, exchange.parameter('next'), JSON.stringify({ ok: true, name, roles }), cookie);
  } else {
    answer(exchange, 401, exchange.parameter('fail'), errorBody(result.error), cookie);
  }
}

function logout(exchange: Exchange): void {
  const cookie = ['Set-Cookie', exchange.server.auth.logout(exchange)];
  answer(exchange, 200, exchange.parameter('next'), '{"ok":true}', cookie);
}

/** Answers, or sends a browser on to a page of this server. */
function answer(
  exchange: Exchange,
  status: number,
  next: string | undefined,
  body: string,
  headers: readonly string[],
): void {
  if (next === undefined) {
    exchange.json(status, body, headers);
    return;
  }
  if (!next.startsWith('/')) throw badRequest('path must begin with a /.');
  exchange.json(302, body, [...headers, 'Location', exchange.absolute(next)]);
}

async function readForm(exchange: Exchange): Promise<Map<string, unknown>> {
  const type = exchange.header('content-type') ?? '';
  if (type.startsWith('application/x-www-form-urlencoded'))
    return firstOfEach(parseQuery((await readBody(exchange.incoming, MAX_FORM)).toString('utf8')));
  if (!type.startsWith('application/json')) {
    throw badContentType("Content-Type must be 'application/x-www-form-urlencoded' or 'application/json'");
  }
  const value = parseForm(await readText(exchange.incoming, MAX_FORM));
  if (typeof value !== 'object' || value === null) throw badRequest('Request body must be a JSON object');
  return new Map(Object.entries(value));
}

function firstOfEach(pairs: Iterable<readonly [string, string]>): Map<string, unknown> {
  const form = new Map<string, unknown>();
  for (const [key, value] of pairs) if (!form.has(key)) form.set(key, value);
  return form;
}

function parseForm(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    throw invalidJson();
  }
}

function credentials(form: Map<string, unknown>): Required<Login> {
  const couch = form.get('name');
  const name = form.has('username') ? form.get('username') : couch;
  const password = form.get('password') ?? '';
  const token = form.get('token') ?? '';
  if (name === undefined) throw badRequest('request body must contain a username');
  if (couch !== undefined && couch !== name) throw badRequest('request body contains different usernames');
  if (typeof name !== 'string' || typeof password !== 'string' || typeof token !== 'string')
    throw badRequest('name, password and token must be strings');
  return { name, password, token };
}
