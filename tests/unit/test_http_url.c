#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/io/http.h"

static void test_private_hosts(void **state)
{
    static const char *const private[] = {
        "http://localhost/",      "http://LOCALHOST./",        "https://a.localhost:80/x",
        "http://127.0.0.1/",      "http://127.255.0.9/",       "http://127.1/",
        "http://0x7f000001/",     "http://2130706433/",        "http://0/",
        "http://10.1.2.3/",       "http://172.16.0.1/",        "http://172.31.255.255/",
        "http://192.168.0.1/",    "http://169.254.169.254/",   "http://100.64.0.1/",
        "http://224.0.0.1/",      "http://255.255.255.255/",   "http://[::1]/",
        "http://[::]/",           "http://[fe80::1]/",         "http://[fc00::1]/",
        "http://[fdff::1]:8080/", "http://[::ffff:10.0.0.1]/", "http://[::ffff:7f00:1]/",
        "http://[ff02::1]/",      "http://[64:ff9b::a00:1]/",  "http://[2002:7f00:1::]/",
    };
    static const char *const public[] = {
        "http://8.8.8.8/",           "http://172.32.0.1/",       "http://100.128.0.1/",
        "http://[2001:4860::8888]/", "http://[::ffff:8.8.8.8]/", "http://localhost.example/",
        "http://notlocalhost/",      "https://example.com/",     "http://11.0.0.1/",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(private) / sizeof(private[0]); i++)
        if (!http_names_private_host(private[i]))
            fail_msg("%s", private[i]);
    for (size_t i = 0; i < sizeof(public) / sizeof(public[0]); i++)
        if (http_names_private_host(public[i]))
            fail_msg("%s", public[i]);
}

static void test_urls(void **state)
{
    (void)state;
    assert_true(http_same_origin("https://a.example/x", "HTTPS://A.example:443/y?z"));
    assert_true(http_same_origin("http://[::1]:80/", "http://[::1]/"));
    assert_false(http_same_origin("https://a.example/", "http://a.example/"));
    assert_false(http_same_origin("https://a.example/", "https://a.example:444/"));
    assert_false(http_same_origin("https://a.example/", "https://a.example.evil/"));
    assert_false(http_same_origin("https://a.example/", "https://a.example@evil/"));
    assert_false(http_same_origin("https://a.example/", "https://a.example\\@evil/"));
    assert_false(http_same_origin("nonsense", "nonsense"));
    assert_false(http_same_origin(NULL, NULL));
    assert_true(http_is_url("http://x"));
    assert_true(http_is_url("HTTPS://x/y"));
    assert_false(http_is_url("ftp://x/"));
    assert_false(http_is_url("gs://bucket/x"));
    assert_false(http_is_url("//x/y"));
    assert_false(http_is_url("http:///"));
    assert_false(http_is_url("http://a b/"));
    assert_false(http_is_url("http://x/\n"));
    assert_false(http_is_url(""));
    char *escaped = http_escape("a/b c:~._-\xc3\xa4%");
    assert_string_equal(escaped, "a%2Fb%20c%3A~._-%C3%A4%25");
    free(escaped);
    escaped = http_escape("");
    assert_string_equal(escaped, "");
    free(escaped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_private_hosts),
        cmocka_unit_test(test_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
