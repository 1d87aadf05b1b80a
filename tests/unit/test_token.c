/* Access tokens: what a service account signs, what a command says, when one is renewed, and whom
 * the news reaches. */
#include "daemon/io/token.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <unistd.h>

#include "daemon/io/token_account.h"
#include "daemon/io/token_command.h"
#include "daemon/io/token_life.h"
#include "proto/json.h"
#include "proto/jsonw.h"
#include "tests/unit/http_fixture.h"

#define MINUTE (60 * 1000LL)

/* ---- service accounts ---- */

static EVP_PKEY *rsa;

static char *pem_of(EVP_PKEY *key, const EVP_CIPHER *cipher)
{
    char *text;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, cipher, cipher ? "pass" : NULL,
                                                   cipher ? 4 : 0, NULL, NULL),
                     1);
    long length = BIO_get_mem_data(bio, &text);
    char *pem = mem_strndup(text, (size_t)length);
    BIO_free(bio);
    return pem;
}

/* Takes `pem`. */
static char *account_json(char *pem, const char *type, const char *email, const char *uri)
{
    struct buf out;
    struct jsonw w;
    buf_init(&out, 16 * 1024);
    jsonw_init(&w, &out);
    jsonw_object(&w);
    jsonw_member_string(&w, "type", type);
    jsonw_member_string(&w, "project_id", "p");
    jsonw_member_string(&w, "private_key_id", "key-1");
    jsonw_member_string(&w, "private_key", pem);
    jsonw_member_string(&w, "client_email", email);
    jsonw_member_string(&w, "token_uri", uri);
    jsonw_object_end(&w);
    free(pem);
    return buf_steal(&out);
}

static char *good_account(const char *uri)
{
    return account_json(pem_of(rsa, NULL), "service_account", "me@p.example", uri);
}

/* Base64url without padding; fresh memory. */
static unsigned char *decode(const char *text, size_t length, size_t *ret)
{
    char *padded = mem_alloc(length + 4);
    unsigned char *out = mem_alloc(length + 4);
    for (size_t i = 0; i < length; i++)
        padded[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
    size_t full = (length + 3) / 4 * 4;
    memset(padded + length, '=', full - length);
    int decoded = EVP_DecodeBlock(out, (unsigned char *)padded, (int)full);
    assert_true(decoded >= 0);
    *ret = (size_t)decoded - (full - length);
    free(padded);
    return out;
}

static struct json *decode_json(const char *text, size_t length, unsigned char **ret_text)
{
    struct error error;
    size_t size;
    *ret_text = decode(text, length, &size);
    struct json *doc = json_parse((char *)*ret_text, size, (struct json_limits){0}, &error);
    assert_non_null(doc);
    return doc;
}

static void check_header(const char *text, size_t length)
{
    unsigned char *raw;
    struct json *doc = decode_json(text, length, &raw);
    assert_true(json_equals(json_get(json_root(doc), "alg"), "RS256"));
    assert_true(json_equals(json_get(json_root(doc), "typ"), "JWT"));
    assert_true(json_equals(json_get(json_root(doc), "kid"), "key-1"));
    json_free(doc);
    free(raw);
}

static void check_claims(const char *text, size_t length, const char *uri)
{
    unsigned char *raw;
    int64_t iat = 0, exp = 0;
    struct json *doc = decode_json(text, length, &raw);
    struct json_value root = json_root(doc);
    assert_int_equal(json_size(root), 5);
    assert_true(json_equals(json_get(root, "iss"), "me@p.example"));
    assert_true(
        json_equals(json_get(root, "scope"), "https://www.googleapis.com/auth/cloud-platform"));
    assert_true(json_equals(json_get(root, "aud"), uri));
    assert_int_equal(json_int(json_get(root, "iat"), 0, INT64_MAX, &iat), 0);
    assert_int_equal(json_int(json_get(root, "exp"), 0, INT64_MAX, &exp), 0);
    assert_int_equal(iat, 1700000000);
    assert_int_equal(exp, 1700003600);
    json_free(doc);
    free(raw);
}

static void check_signature(const char *signed_text, size_t signed_length, const char *signature)
{
    size_t length;
    unsigned char *raw = decode(signature, strlen(signature), &length);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, rsa), 1);
    assert_int_equal(
        EVP_DigestVerify(context, raw, length, (const unsigned char *)signed_text, signed_length),
        1);
    EVP_MD_CTX_free(context);
    free(raw);
}

static void test_assertion(void **state)
{
    static const char begin[] =
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    struct error error;
    (void)state;
    char *json = good_account("https://tokens.example/t");
    struct token_account *account = token_account_parse(json, &error);
    assert_non_null(account);
    assert_string_equal(token_account_uri(account), "https://tokens.example/t");
    char *form = token_account_form(account, 1700000000);
    assert_memory_equal(form, begin, strlen(begin));
    char *jwt = form + strlen(begin);
    char *claims = strchr(jwt, '.') + 1;
    char *signature = strchr(claims, '.') + 1;
    assert_int_equal(
        strspn(jwt, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."),
        strlen(jwt));
    check_header(jwt, (size_t)(claims - jwt - 1));
    check_claims(claims, (size_t)(signature - claims - 1), "https://tokens.example/t");
    check_signature(jwt, (size_t)(signature - jwt - 1), signature);
    free(form);
    token_account_free(account);
    free(json);
}

/* Takes `json`. */
static void assert_no_account(char *json, const char *fragment)
{
    struct error error = {0};
    assert_null(token_account_parse(json, &error));
    if (!strstr(error.message, fragment))
        fail_msg("\"%s\" lacks \"%s\"", error.message, fragment);
    assert_null(strstr(error.message, "PRIVATE"));
    free(json);
}

static void test_bad_accounts(void **state)
{
    (void)state;
    EVP_PKEY *curve = EVP_EC_gen("P-256");
    assert_no_account(mem_strdup("AIza-a-key"), "no JSON");
    assert_no_account(mem_strdup("[]"), "no service account's key");
    assert_no_account(account_json(pem_of(rsa, NULL), "authorized_user", "me", NULL),
                      "no service account's key");
    assert_no_account(account_json(pem_of(rsa, NULL), "service_account", NULL, NULL),
                      "client_email");
    assert_no_account(account_json(NULL, "service_account", "me", NULL), "private_key");
    assert_no_account(account_json(mem_strdup("x"), "service_account", "me", NULL), "private_key");
    assert_no_account(account_json(pem_of(rsa, EVP_aes_128_cbc()), "service_account", "me", NULL),
                      "private_key");
    assert_no_account(account_json(pem_of(curve, NULL), "service_account", "me", NULL),
                      "private_key");
    assert_no_account(good_account("http://tokens.example/t"), "token_uri");
    assert_no_account(good_account("ftp://tokens.example/t"), "token_uri");
    EVP_PKEY_free(curve);
}

static void test_default_address(void **state)
{
    struct error error;
    (void)state;
    char *json = good_account(NULL);
    struct token_account *account = token_account_parse(json, &error);
    assert_string_equal(token_account_uri(account), "https://oauth2.googleapis.com/token");
    token_account_free(account);
    free(json);
}

/* ---- when one is renewed ---- */

static void test_renewed_before_it_ends(void **state)
{
    struct token_life life = {0};
    (void)state;
    assert_false(token_life_usable(&life, 0));
    assert_true(token_life_wants(&life, 0));
    token_life_begin(&life);
    assert_false(token_life_wants(&life, 0));
    token_life_got(&life, 1000, 60 * MINUTE);
    assert_true(token_life_usable(&life, 1000));
    assert_false(token_life_wants(&life, 1000 + 55 * MINUTE - 1));
    assert_true(token_life_wants(&life, 1000 + 55 * MINUTE));
    token_life_begin(&life);
    assert_true(token_life_usable(&life, 1000 + 60 * MINUTE - 1)); /* meanwhile */
    assert_false(token_life_usable(&life, 1000 + 60 * MINUTE));
    token_life_got(&life, 0, 10 * MINUTE); /* a short one: a tenth of its life before */
    assert_false(token_life_wants(&life, 9 * MINUTE - 1));
    assert_true(token_life_wants(&life, 9 * MINUTE));
    assert_int_equal(life.generation, 2);
}

static void test_failures_back_off(void **state)
{
    struct token_life life = {0};
    int64_t waits[10];
    (void)state;
    for (int i = 0; i < 10; i++) {
        token_life_begin(&life);
        token_life_failed(&life, 0, 1.0);
        waits[i] = life.again_at;
        assert_false(token_life_wants(&life, life.again_at - 1));
        assert_true(token_life_wants(&life, life.again_at));
    }
    assert_int_equal(waits[0], 1000);
    assert_int_equal(waits[3], 8000);
    assert_int_equal(waits[9], 60000);
    token_life_failed(&life, 0, 0.0);
    assert_in_range(life.again_at, 30000, 60000);
    token_life_got(&life, 0, MINUTE);
    token_life_failed(&life, 0, 1.0);
    assert_int_equal(life.again_at, 1000); /* from the start */
}

static void test_refused_once(void **state)
{
    struct token_life life = {0};
    (void)state;
    token_life_got(&life, 0, 60 * MINUTE);
    assert_false(token_life_judge(&life, 1, 403, 0));
    assert_true(token_life_judge(&life, 1, 401, 0));
    assert_true(token_life_wants(&life, 0));
    assert_false(token_life_usable(&life, 0));
    token_life_begin(&life);
    assert_true(token_life_judge(&life, 1, 401, 0)); /* others had sent it as well */
    assert_false(token_life_wants(&life, 0));        /* and that is one renewal */
    token_life_got(&life, 0, 60 * MINUTE);
    assert_true(token_life_judge(&life, 1, 401, 0)); /* a late one */
    assert_true(token_life_usable(&life, 0));
    assert_false(token_life_judge(&life, 2, 401, 0)); /* the fresh one too: then it counts */
    assert_true(token_life_usable(&life, 0));
    assert_false(token_life_wants(&life, MINUTE - 1)); /* but it may pass */
    assert_true(token_life_wants(&life, MINUTE));
    token_life_got(&life, MINUTE, 60 * MINUTE);
    assert_false(token_life_judge(&life, 3, 401, MINUTE));
    assert_false(token_life_judge(&life, 3, 200, MINUTE)); /* it was good after all */
    assert_true(token_life_judge(&life, 3, 401, MINUTE));
}

/* ---- commands ---- */

struct said {
    int count;
    char token[128];
    char why[400];
};

static void on_said(void *arg, const char *token, const char *why)
{
    struct said *said = arg;
    said->count++;
    copy_text(said->token, sizeof(said->token), token);
    copy_text(said->why, sizeof(said->why), why);
}

static void assert_says(struct world *world, const char *line, int64_t limit_ms, const char *token,
                        const char *why)
{
    struct said said = {0};
    token_command_run(&world->loop, line, limit_ms, on_said, &said);
    run_until(world, &said.count, 1);
    assert_string_equal(said.token, token);
    assert_string_equal(said.why, why);
}

static char script[64];      /* its path */
static char run_script[128]; /* the command */

static void write_script(const char *text)
{
    snprintf(script, sizeof(script), "/tmp/veod-test-token-%d.sh", (int)getpid());
    snprintf(run_script, sizeof(run_script), "/bin/sh %s", script);
    FILE *file = fopen(script, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_commands(void **state)
{
    struct world *world = *state;
    assert_says(world, "  /bin/echo   ya29.token ", 20000, "ya29.token", "(null)");
    assert_says(world, "/bin/echo two words", 20000, "(null)",
                "token_command printed no token in its first line");
    assert_says(world, "/bin/echo $HOME;", 20000, "$HOME;", "(null)"); /* no shell */
    assert_says(world, "/bin/true", 20000, "(null)",
                "token_command printed no token in its first line");
    assert_says(world, "/nowhere/at-all", 20000, "(null)",
                "token_command cannot be run: no such file or directory");
    write_script("echo tok\necho more\necho chatter >&2\n");
    assert_says(world, run_script, 20000, "tok", "(null)");
    write_script("echo secret\nprintf 'not \\033logged in\\nmore' >&2\nexit 3");
    assert_says(world, run_script, 20000, "(null)",
                "token_command ended with status 3: not ?logged in");
    write_script("echo gone wrong >&2; kill -TERM $$");
    assert_says(world, run_script, 20000, "(null)",
                "token_command was ended by signal 15: gone wrong");
    remove(script);
}

static void test_commands_are_bounded(void **state)
{
    struct world *world = *state;
    assert_says(world, "/bin/sleep 600", 50, "(null)",
                "token_command said nothing for 0 s and was ended");
    assert_says(world, "/usr/bin/yes", 20000, "(null)",
                "token_command printed more than 8192 bytes");
    write_script("sleep 600 & sleep 600"); /* with all that it has started */
    assert_says(world, run_script, 50, "(null)",
                "token_command said nothing for 0 s and was ended");
    remove(script);
    struct said said = {0};
    struct token_command *command =
        token_command_run(&world->loop, "/bin/sleep 600", 20000, on_said, &said);
    uv_run(&world->loop, UV_RUN_NOWAIT);
    token_command_stop(command);
    command = token_command_run(&world->loop, "/nowhere/at-all", 20000, on_said, &said);
    token_command_stop(command);
    token_command_stop(NULL);
    run_for(world, 10);
    assert_int_equal(said.count, 0);
}

/* ---- the whole ---- */

struct source {
    struct world *world;
    struct token *token;
    int news;
};

static void on_news(void *arg)
{
    struct source *source = arg;
    source->news++;
}

static void source_init(struct source *source, struct world *world, enum token_kind kind,
                        const char *secret)
{
    struct error error;
    struct token_config config = {
        .provider = "p", .kind = kind, .secret = secret, .connect_ms = 10000};
    *source = (struct source){.world = world};
    source->token = token_new(&world->loop, world->http, &config, &error);
    assert_non_null(source->token);
    token_listen(source->token, on_news, source);
}

static void source_account(struct source *source, struct world *world)
{
    char *uri = mem_format("%s/token", world->server.origin);
    char *json = good_account(uri);
    source_init(source, world, TOKEN_SERVICE_ACCOUNT, json);
    free(json);
    free(uri);
}

static const char *answer; /* of the server, without its length */
static int answer_number;

static void give_answer(struct peer *peer)
{
    char body[256];
    int length = snprintf(body, sizeof(body), "%s", answer);
    const char *number = strchr(body, '#');
    if (number)
        body[number - body] = (char)('0' + ++answer_number);
    char *text = mem_format("HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s",
                            answer[0] == '{' ? "200 OK\r\nMetadata-Flavor: Google" : "400 Bad",
                            length, body);
    peer_send(peer, text);
    free(text);
}

static void serve(struct world *world, const char *text)
{
    answer = text;
    answer_number = 0;
    world->server.on_request = give_answer;
}

static void test_keys(void **state)
{
    struct world *world = *state;
    struct error error;
    struct token_config config = {.kind = TOKEN_KEY, .secret = "k", .header = "x-goog-api-key"};
    struct token *token = token_new(&world->loop, world->http, &config, &error);
    assert_string_equal(token_value(token), "k");
    assert_string_equal(token_header(token), "x-goog-api-key");
    assert_false(token_judge(token, token_generation(token), 401));
    assert_string_equal(token_value(token), "k");
    token_close(token);
    config.header = NULL;
    token = token_new(&world->loop, world->http, &config, &error);
    assert_string_equal(token_value(token), "Bearer k");
    assert_string_equal(token_header(token), "Authorization");
    token_close(token);
    token_close(NULL);
}

static void test_account_token(void **state)
{
    struct world *world = *state;
    struct source source;
    source_account(&source, world);
    serve(world, "{\"access_token\":\"ya29.#\",\"expires_in\":3599,\"token_type\":\"Bearer\"}");
    assert_int_equal(world->server.accepted, 0); /* nobody has wanted one */
    assert_null(token_value(source.token));
    assert_null(token_value(source.token));
    assert_string_equal(token_why(source.token), "it is being fetched");
    run_until(world, &source.news, 1);
    assert_string_equal(token_value(source.token), "Bearer ya29.1");
    assert_int_equal(world->server.requests, 1);
    assert_non_null(strstr(world->server.last, "POST /token HTTP/1.1\r\n"));
    assert_non_null(strstr(world->server.last, "application/x-www-form-urlencoded\r\n"));
    unsigned generation = token_generation(source.token);
    for (int i = 0; i < 3; i++) /* three requests had it */
        assert_true(token_judge(source.token, generation, 401));
    assert_null(token_value(source.token));
    run_until(world, &source.news, 2);
    assert_string_equal(token_value(source.token), "Bearer ya29.2");
    assert_int_equal(world->server.requests, 2);
    assert_false(token_judge(source.token, token_generation(source.token), 401));
    token_close(source.token);
}

static void assert_fails(struct world *world, const char *text, const char *why)
{
    struct source source;
    source_account(&source, world);
    serve(world, text);
    assert_null(token_value(source.token));
    run_until(world, &source.news, 1);
    assert_null(token_value(source.token));
    assert_string_equal(token_why(source.token), why);
    token_close(source.token);
}

static void test_account_is_refused(void **state)
{
    struct world *world = *state;
    struct source source;
    assert_fails(world, "{\"access_token\":5}", "the answer has no \"access_token\"");
    assert_fails(world, "{\"access_token\":\"a b\"}",
                 "what came is no token: expected printable ASCII");
    assert_fails(world, "{", "the answer is no JSON object");
    assert_fails(world, " {\"error\":\"invalid_grant\",\"error_description\":\"Bad\\njwt\"}",
                 "the token's address answered with status 400: invalid_grant: Bad jwt");
    assert_fails(world, "nothing", "the token's address answered with status 400");
    source_account(&source, world);
    serve(world, "nothing");
    assert_null(token_value(source.token));
    run_until(world, &source.news, 1);
    serve(world, "{\"access_token\":\"late\",\"expires_in\":60}"); /* it tries again by itself */
    run_until(world, &source.news, 2);
    assert_string_equal(token_value(source.token), "Bearer late");
    token_close(source.token);
}

static void test_metadata(void **state)
{
    struct world *world = *state;
    struct source source;
    setenv("GCE_METADATA_HOST", world->server.origin + strlen("http://"), 1);
    setenv("http_proxy", "http://127.0.0.1:9", 1); /* never asked */
    source_init(&source, world, TOKEN_METADATA, NULL);
    serve(world, "{\"access_token\":\"meta\",\"expires_in\":60}");
    assert_null(token_value(source.token));
    run_until(world, &source.news, 1);
    assert_string_equal(token_value(source.token), "Bearer meta");
    assert_non_null(strstr(world->server.last,
                           "GET /computeMetadata/v1/instance/service-accounts/default/token "));
    assert_non_null(strstr(world->server.last, "Metadata-Flavor: Google\r\n"));
    token_close(source.token);
    world->server.on_request = NULL; /* somebody else, who says hello */
    source_init(&source, world, TOKEN_METADATA, NULL);
    assert_null(token_value(source.token));
    run_until(world, &source.news, 1);
    assert_string_equal(token_why(source.token), "what answered is not Google's metadata server");
    token_close(source.token);
    unsetenv("http_proxy");
    unsetenv("GCE_METADATA_HOST");
}

static void test_closed_meanwhile(void **state)
{
    struct world *world = *state;
    struct source source;
    struct error error;
    struct token_config config = {
        .provider = "p", .kind = TOKEN_COMMAND, .command = "/bin/sleep 600"};
    source_account(&source, world);
    assert_null(token_value(source.token));
    uv_run(&world->loop, UV_RUN_NOWAIT);
    token_close(source.token);
    struct token *token = token_new(&world->loop, world->http, &config, &error);
    assert_null(token_value(token));
    token_close(token);
}

static int make_key(void **state)
{
    (void)state;
    rsa = EVP_RSA_gen(2048);
    return rsa ? 0 : -1;
}

static int free_key(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    return 0;
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_assertion),
        cmocka_unit_test(test_bad_accounts),
        cmocka_unit_test(test_default_address),
        cmocka_unit_test(test_renewed_before_it_ends),
        cmocka_unit_test(test_failures_back_off),
        cmocka_unit_test(test_refused_once),
        WITH_WORLD(test_commands),
        WITH_WORLD(test_commands_are_bounded),
        WITH_WORLD(test_keys),
        WITH_WORLD(test_account_token),
        WITH_WORLD(test_account_is_refused),
        WITH_WORLD(test_metadata),
        WITH_WORLD(test_closed_meanwhile),
    };
    return cmocka_run_group_tests(tests, make_key, free_key);
}
