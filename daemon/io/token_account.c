#include "daemon/io/token_account.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/io/credential.h"
#include "daemon/io/http.h"
#include "proto/json.h"
#include "proto/jsonw.h"
#include "proto/mem.h"

#define SCOPE     "https://www.googleapis.com/auth/cloud-platform"
#define TOKEN_URI "https://oauth2.googleapis.com/token"
#define LIFETIME  3600 /* s */

struct token_account {
    char *email;
    char *key_id;
    char *token_uri;
    EVP_PKEY *key;
};

/* ---- reading ---- */

static int refuse_prompt(char *room, int size, int writing, void *arg)
{
    (void)room;
    (void)size;
    (void)writing;
    (void)arg;
    return -1; /* libcrypto would ask the terminal */
}

static EVP_PKEY *read_key(struct json_value value)
{
    char *pem = json_strdup(value, NULL);
    BIO *bio = pem ? BIO_new_mem_buf(pem, -1) : NULL;
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, refuse_prompt, NULL) : NULL;
    BIO_free(bio);
    credential_free(pem);
    if (key && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

static int read_members(struct token_account *account, struct json_value root, struct error *error)
{
    struct json_value type = json_get(root, "type");
    if (json_type(root) != JSON_OBJECT ||
        (json_type(type) != JSON_NONE && !json_equals(type, "service_account")))
        return error_set(error, ERROR_UNAVAILABLE, NULL,
                         "is no service account's key: expected \"type\": \"service_account\"");
    account->email = json_strdup(json_get(root, "client_email"), NULL);
    account->key_id = json_strdup(json_get(root, "private_key_id"), NULL);
    account->token_uri = json_strdup(json_get(root, "token_uri"), NULL);
    account->key = read_key(json_get(root, "private_key"));
    if (!account->token_uri)
        account->token_uri = mem_strdup(TOKEN_URI);
    if (!account->email || !account->email[0])
        return error_set(error, ERROR_UNAVAILABLE, NULL, "has no \"client_email\"");
    if (!account->key)
        return error_set(error, ERROR_UNAVAILABLE, NULL,
                         "has no usable \"private_key\": expected an RSA key in PEM");
    if (!http_is_url(account->token_uri) || (strncmp(account->token_uri, "https:", 6) != 0 &&
                                             !http_names_private_host(account->token_uri)))
        return error_set(error, ERROR_UNAVAILABLE, NULL,
                         "has a \"token_uri\" that is no https address");
    return 0;
}

struct token_account *token_account_parse(const char *json, struct error *error)
{
    struct json_limits limits = {.depth = 4, .tokens = 200};
    struct error ignored;
    struct json *doc = json_parse(json, strlen(json), limits, &ignored);
    if (!doc) {
        error_set(error, ERROR_UNAVAILABLE, NULL, "is no JSON object");
        return NULL;
    }
    struct token_account *account = mem_alloc(sizeof(*account));
    int status = read_members(account, json_root(doc), error);
    json_free(doc);
    if (status == 0)
        return account;
    token_account_free(account);
    return NULL;
}

void token_account_free(struct token_account *account)
{
    if (!account)
        return;
    EVP_PKEY_free(account->key);
    free(account->email);
    free(account->key_id);
    free(account->token_uri);
    free(account);
}

const char *token_account_uri(const struct token_account *account)
{
    return account->token_uri;
}

/* ---- signing ---- */

/* RFC 4648 section 5, without padding. */
static void add_base64url(struct buf *out, const unsigned char *bytes, size_t length)
{
    char *text = buf_reserve(out, (length + 2) / 3 * 4 + 1);
    if (!text)
        return;
    int count = EVP_EncodeBlock((unsigned char *)text, bytes, (int)length);
    for (; count > 0 && text[count - 1] == '='; count--)
        ;
    for (int i = 0; i < count; i++)
        text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    out->length += (size_t)count;
}

static void add_object(struct buf *out, struct buf *object)
{
    add_base64url(out, (const unsigned char *)object->data, object->length);
    buf_free(object);
}

static void add_header(struct buf *out, const struct token_account *account)
{
    struct buf object;
    struct jsonw w;
    buf_init(&object, 4096);
    jsonw_init(&w, &object);
    jsonw_object(&w);
    jsonw_member_string(&w, "alg", "RS256");
    jsonw_member_string(&w, "typ", "JWT");
    jsonw_member_string(&w, "kid", account->key_id);
    jsonw_object_end(&w);
    add_object(out, &object);
}

static void add_claims(struct buf *out, const struct token_account *account, int64_t now)
{
    struct buf object;
    struct jsonw w;
    buf_init(&object, 4096);
    jsonw_init(&w, &object);
    jsonw_object(&w);
    jsonw_member_string(&w, "iss", account->email);
    jsonw_member_string(&w, "scope", SCOPE);
    jsonw_member_string(&w, "aud", account->token_uri);
    jsonw_member_int(&w, "iat", now);
    jsonw_member_int(&w, "exp", now + LIFETIME);
    jsonw_object_end(&w);
    add_object(out, &object);
}

static bool add_signature(struct buf *out, const struct token_account *account, size_t from)
{
    const unsigned char *text = (const unsigned char *)out->data + from;
    size_t length = (size_t)EVP_PKEY_get_size(account->key);
    unsigned char *signature = mem_alloc(length);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool well = context &&
                EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, account->key) == 1 &&
                EVP_DigestSign(context, signature, &length, text, out->length - from) == 1;
    EVP_MD_CTX_free(context);
    if (well) {
        buf_add_byte(out, '.');
        add_base64url(out, signature, length);
    }
    free(signature);
    return well && !out->failed;
}

char *token_account_form(const struct token_account *account, int64_t now)
{
    static const char begin[] =
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    struct buf form;
    buf_init(&form, 16 * 1024);
    (void)buf_reserve(&form, form.max); /* growing would leave copies behind */
    buf_add_text(&form, begin);
    add_header(&form, account);
    buf_add_byte(&form, '.');
    add_claims(&form, account, now);
    bool well = add_signature(&form, account, strlen(begin));
    char *text = buf_steal(&form);
    if (well)
        return text;
    credential_free(text);
    return NULL;
}
