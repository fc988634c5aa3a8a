/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_TLS_KIT_H
#define TESTS_UNIT_TLS_KIT_H
/* Certificates for tests, made at test time into a folder of its own: an authority and servers under it. */
#include "tests/unit/t.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

struct tls_kit {
    char dir[64];
    char ca[96], other_ca[96];
    EVP_PKEY *ca_key, *other_key;
    X509 *ca_cert, *other_cert;
};

static inline X509 *tls_kit_cert(EVP_PKEY *key, const char *cn, const char *san, long from_s, long to_s,
                                 X509 *issuer, EVP_PKEY *issuer_key)
{
    static long serial = 1;
    X509 *c = X509_new();
    X509_NAME *name = X509_get_subject_name(c);
    X509V3_CTX ctx;
    X509_EXTENSION *ext;

    T_MUST(X509_set_version(c, 2) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(c), serial++) == 1);
    X509_gmtime_adj(X509_getm_notBefore(c), from_s);
    X509_gmtime_adj(X509_getm_notAfter(c), to_s);
    X509_set_pubkey(c, key);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(c, issuer ? X509_get_subject_name(issuer) : name);
    X509V3_set_ctx(&ctx, issuer ? issuer : c, c, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, san ? NID_subject_alt_name : NID_basic_constraints,
                              san ? san : "critical,CA:TRUE");
    T_MUST(ext != NULL && X509_add_ext(c, ext, -1) == 1);
    X509_EXTENSION_free(ext);
    T_MUST(X509_sign(c, issuer_key, EVP_sha256()) > 0);
    return c;
}

static inline void tls_kit_write(const char *path, X509 *cert, EVP_PKEY *key)
{
    FILE *f = fopen(path, "w");

    T_MUST(f != NULL);
    T_MUST(cert == NULL || PEM_write_X509(f, cert) == 1);
    T_MUST(key == NULL || PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
    fclose(f);
}

static inline void tls_kit_open(struct tls_kit *k)
{
    (void)snprintf(k->dir, sizeof k->dir, "/tmp/voice-tls-XXXXXX");
    T_MUST(mkdtemp(k->dir) != NULL);
    (void)snprintf(k->ca, sizeof k->ca, "%s/ca.pem", k->dir);
    (void)snprintf(k->other_ca, sizeof k->other_ca, "%s/other.pem", k->dir);
    k->ca_key = EVP_EC_gen("P-256");
    k->other_key = EVP_EC_gen("P-256");
    k->ca_cert = tls_kit_cert(k->ca_key, "Test CA", NULL, -3600, 86400, NULL, k->ca_key);
    k->other_cert = tls_kit_cert(k->other_key, "Other CA", NULL, -3600, 86400, NULL, k->other_key);
    tls_kit_write(k->ca, k->ca_cert, NULL);
    tls_kit_write(k->other_ca, k->other_cert, NULL);
}

/* A server's certificate under the authority: files NAME.pem and NAME.key in the folder. */
static inline void tls_kit_server(struct tls_kit *k, const char *name, const char *san, long from_s,
                                  long to_s)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *c = tls_kit_cert(key, "server", san, from_s, to_s, k->ca_cert, k->ca_key);
    char path[128];

    (void)snprintf(path, sizeof path, "%s/%s.pem", k->dir, name);
    tls_kit_write(path, c, NULL);
    (void)snprintf(path, sizeof path, "%s/%s.key", k->dir, name);
    tls_kit_write(path, NULL, key);
    X509_free(c);
    EVP_PKEY_free(key);
}

/* Path of a file in the folder; valid until the next call but three. */
static inline const char *tls_kit_path(const struct tls_kit *k, const char *file)
{
    static char path[4][160];
    static unsigned at;
    char *p = path[at++ % 4];

    (void)snprintf(p, sizeof path[0], "%s/%s", k->dir, file);
    return p;
}

static inline void tls_kit_close(struct tls_kit *k, const char *const *names)
{
    char file[64];

    for (; *names != NULL; names++) {
        (void)snprintf(file, sizeof file, "%s.pem", *names);
        (void)unlink(tls_kit_path(k, file));
        (void)snprintf(file, sizeof file, "%s.key", *names);
        (void)unlink(tls_kit_path(k, file));
    }
    (void)unlink(k->ca);
    (void)unlink(k->other_ca);
    (void)rmdir(k->dir);
    X509_free(k->ca_cert);
    X509_free(k->other_cert);
    EVP_PKEY_free(k->ca_key);
    EVP_PKEY_free(k->other_key);
}

#endif
