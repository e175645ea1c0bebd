import { z } from 'zod';

/** A word that may stand in a header, such as a method or the name of another header. */
const token = z.string().regex(/^[\w!#$%&'*+.^`|~-]+$/);

/** An origin as browsers send it (`file://` is that of apps in a WebView of Android), or `*` for all of them. */
const origin = z.union([z.enum(['*', 'file://']), z.string().regex(/^[a-z][a-z0-9+.-]*:\/\/[^/\s?#@]+$/)]);

const originsAllowed =
  'a list of origins such as https://app.example.org (scheme, host, port; no path), or *';
const maxAge = z.int().min(0).max(86_400);

/** A name that clients use for this server, as it stands in the Host header without a port. */
export const hostName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/);

const corsOfHost = z.strictObject({
  origins: z.array(origin).exactOptional(),
  credentials: z.boolean().exactOptional(),
  methods: z.array(token).exactOptional(),
  headers: z.array(token).exactOptional(),
  maxAge: maxAge.exactOptional(),
});

/** Which pages of other origins may use the server. */
export const cors = z.strictObject({
  enabled: z.boolean().default(true).describe('False switches CORS off, whatever the origins.'),
  origins: z.array(origin).default([]).meta({
    description: 'Origins whose pages may use this server, or `*`; none switches CORS off.',
    allowed: originsAllowed,
  }),
  credentials: z
    .boolean()
    .optional()
    .describe(
      'Whether those pages may send cookies and passwords; if not set, those of origins that are named may, others not.',
    ),
  methods: z
    .array(token)
    .default(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'TRACE', 'CONNECT', 'COPY', 'OPTIONS'])
    .meta({
      description: 'Methods that those pages may use.',
      allowed: 'a list of methods such as GET',
    }),
  headers: z
    .array(token)
    .default([
      'accept',
      'authorization',
      'content-type',
      'destination',
      'if-match',
      'if-none-match',
      'last-event-id',
      'origin',
      'referer',
      'x-csrf-token',
      'x-couch-full-commit',
    ])
    .meta({
      description: 'Request headers that those pages may send.',
      allowed: 'a list of names of headers',
    }),
  maxAge: maxAge.default(600).describe('Seconds for which a browser may remember these answers.'),
  hosts: z
    .record(hostName, corsOfHost)
    .default({})
    .meta({
      description:
        'By the name that a client uses for this server (`Host`, without the port): any of these keys, for requests to it alone (`cors:HOST`). In the environment it is JSON.',
      allowed: `names of hosts, each with any of ${Object.keys(corsOfHost.shape).join(', ')}`,
    }),
});
