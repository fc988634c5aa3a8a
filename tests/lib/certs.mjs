/* SPDX-License-Identifier: MIT */
// Certificates for tests, made when they run: nothing secret lies in the project.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { tmpdir } from './util.mjs';

const caConfig = (dir) => `[ca]
default_ca = own
[own]
dir = ${dir}
database = ${dir}/index.txt
new_certs_dir = ${dir}
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
`;

const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

function openssl(dir, ...args) {
  execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' });
}

function authority(dir, name) {
  openssl(dir, 'req', '-x509', ...curve, '-keyout', `${name}.key`, '-out', `${name}.crt`,
    '-days', '30', '-subj', `/CN=openclaw-voice test ${name}`,
    '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign');
}

function leaf(dir, name, { ca = 'ca', san, from, to }) {
  openssl(dir, 'req', '-new', ...curve, '-keyout', `${name}.key`, '-out', `${name}.csr`,
    '-subj', `/CN=${name}`, '-addext', `subjectAltName=${san}`);
  openssl(dir, 'ca', '-config', 'ca.conf', '-batch', '-notext', '-cert', `${ca}.crt`,
    '-keyfile', `${ca}.key`, '-in', `${name}.csr`, '-out', `${name}.crt`,
    '-startdate', from, '-enddate', to);
  const files = { certFile: path.join(dir, `${name}.crt`), keyFile: path.join(dir, `${name}.key`) };
  return { ...files, cert: fs.readFileSync(files.certFile), key: fs.readFileSync(files.keyFile) };
}

const stamp = (date) => `${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`;

let made = null;

/**
 * An authority and what it signed, made once a process. Each of server (127.0.0.1 and localhost),
 * expired, future, wrongHost, unknownCa (signed by nobody known), discord (discord.com, for its
 * simulator) is {cert, key, certFile, keyFile}.
 * @returns {{dir, caFile, ca, server, expired, future, wrongHost, unknownCa, discord}}
 */
export function makeCerts() {
  if (made)
    return made;
  const dir = tmpdir('ocv-certs');
  fs.writeFileSync(path.join(dir, 'ca.conf'), caConfig(dir));
  fs.writeFileSync(path.join(dir, 'index.txt'), '');
  authority(dir, 'ca');
  authority(dir, 'stranger');
  const day = 86400000;
  const at = (days) => stamp(new Date(Date.now() + days * day));
  const here = 'IP:127.0.0.1,DNS:localhost';
  const now = { from: at(-1), to: at(20) };
  made = { dir, caFile: path.join(dir, 'ca.crt'), ca: fs.readFileSync(path.join(dir, 'ca.crt')),
    server: leaf(dir, 'server', { san: here, ...now }),
    expired: leaf(dir, 'expired', { san: here, from: at(-20), to: at(-2) }),
    future: leaf(dir, 'future', { san: here, from: at(2), to: at(20) }),
    wrongHost: leaf(dir, 'wronghost', { san: 'DNS:other.example,IP:192.0.2.1', ...now }),
    discord: leaf(dir, 'discord', { san: 'DNS:discord.com,DNS:gateway.discord.gg', ...now }),
    unknownCa: leaf(dir, 'unknownca', { ca: 'stranger', san: here, ...now }) };
  return made;
}
