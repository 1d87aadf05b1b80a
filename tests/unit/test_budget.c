/* The ledger of the day's budgets, under a clock of the tests'. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/core/budget.h"

#define DAY    86400000LL
#define NOON   (20000 * DAY + DAY / 2)
#define USD    1000000LL
#define ANN    1000
#define BOB    1001
#define EITHER 3 /* of two providers */

static struct budget *budget;

static int set_up(void **state)
{
    (void)state;
    budget = budget_new(2);
    assert_true(budget_turn(budget, NOON));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    budget_free(budget);
    return 0;
}

static struct budget_entry *entry_new(uid_t owner, const char *id, int priority, int64_t wants)
{
    struct budget_entry *entry = calloc(1, sizeof(*entry));
    assert_non_null(entry);
    entry->owner = owner;
    entry->provider = BUDGET_NOWHERE;
    entry->id = id;
    entry->priority = priority;
    entry->wants = wants;
    return entry;
}

static bool fits(uid_t owner, int64_t amount, enum budget_scope *scope)
{
    struct budget_state state = {0};
    bool yes = budget_fits(budget, owner, EITHER, amount, &state);
    if (scope && !yes)
        *scope = state.scope;
    return yes;
}

static void test_without_limits_all_fits(void **state)
{
    (void)state;
    assert_true(fits(ANN, 1000000 * USD, NULL));
    budget_charge(budget, ANN, 0, 1000000 * USD, NOON);
    assert_true(fits(ANN, 1, NULL));
}

static void test_what_is_reserved_and_charged_counts(void **state)
{
    enum budget_scope scope = BUDGET_ALL;
    (void)state;
    struct budget_entry *entry = entry_new(ANN, "a", 0, 0);
    budget_set_limits(budget, 10 * USD, -1);
    budget_charge(budget, ANN, 0, 4 * USD, NOON);
    budget_reserve(budget, entry, 5 * USD, BUDGET_NOWHERE);
    assert_true(fits(BOB, 1 * USD, NULL)); /* to the last cent */
    assert_false(fits(BOB, 1 * USD + 1, &scope));
    assert_int_equal(scope, BUDGET_ALL);
    budget_reserve(budget, entry, 2 * USD, BUDGET_NOWHERE); /* in the place of the five */
    assert_true(fits(BOB, 4 * USD, NULL));
    budget_reserve(budget, entry, 0, BUDGET_NOWHERE);
    assert_true(fits(BOB, 6 * USD, NULL));
    budget_charge(budget, ANN, 0, -4 * USD, NOON); /* it was filtered after all */
    assert_true(fits(BOB, 10 * USD, NULL));
    free(entry);
}

static void test_each_owner_has_his_own(void **state)
{
    enum budget_scope scope = BUDGET_ALL;
    (void)state;
    budget_set_limits(budget, -1, 3 * USD);
    budget_charge(budget, ANN, 0, 2 * USD, NOON);
    assert_false(fits(ANN, 2 * USD, &scope));
    assert_int_equal(scope, BUDGET_OWNER);
    assert_true(fits(ANN, 1 * USD, NULL));
    assert_true(fits(BOB, 3 * USD, NULL));
}

static void test_providers(void **state)
{
    enum budget_scope scope = BUDGET_ALL;
    (void)state;
    struct budget_entry *entry = entry_new(ANN, "a", 0, 0);
    budget_set_provider_limit(budget, 0, 2 * USD);
    assert_true(fits(ANN, 3 * USD, NULL)); /* the other one has none */
    budget_set_provider_limit(budget, 1, 3 * USD);
    assert_false(fits(ANN, 4 * USD, &scope));
    assert_int_equal(scope, BUDGET_PROVIDER);
    budget_reserve(budget, entry, 2 * USD, 1);
    assert_true(budget_provider_fits(budget, 0, 2 * USD));
    assert_false(budget_provider_fits(budget, 1, 2 * USD));
    budget_reserve(budget, entry, 2 * USD, 0); /* it goes to the other */
    assert_false(budget_provider_fits(budget, 0, 1));
    assert_true(budget_provider_fits(budget, 1, 3 * USD));
    free(entry);
}

static void test_nothing_always_fits(void **state)
{
    (void)state;
    budget_set_limits(budget, 0, 0);
    budget_set_provider_limit(budget, 0, 0);
    budget_set_provider_limit(budget, 1, 0);
    budget_charge(budget, ANN, 0, USD, NOON);
    assert_true(fits(ANN, 0, NULL));
    assert_true(budget_provider_fits(budget, 0, 0));
    assert_false(fits(ANN, 1, NULL));
}

static void test_dearer_than_a_whole_day(void **state)
{
    struct budget_state why;
    (void)state;
    budget_set_limits(budget, 10 * USD, 5 * USD);
    budget_charge(budget, ANN, 0, 10 * USD, NOON); /* what is left today is no matter */
    assert_true(budget_can_ever_fit(budget, EITHER, 5 * USD, &why));
    assert_false(budget_can_ever_fit(budget, EITHER, 5 * USD + 1, &why));
    assert_int_equal(why.scope, BUDGET_OWNER);
    assert_false(budget_can_ever_fit(budget, EITHER, 11 * USD, &why));
    assert_int_equal(why.scope, BUDGET_ALL);
    budget_set_provider_limit(budget, 0, USD);
    assert_true(budget_can_ever_fit(budget, EITHER, 2 * USD, &why));
    assert_false(budget_can_ever_fit(budget, 1, 2 * USD, &why));
    assert_int_equal(why.scope, BUDGET_PROVIDER);
    assert_int_equal(why.limit, USD);
}

static void test_days_turn_in_utc(void **state)
{
    (void)state;
    struct budget_entry *entry = entry_new(ANN, "a", 0, 0);
    budget_set_limits(budget, 10 * USD, 10 * USD);
    budget_set_provider_limit(budget, 0, 10 * USD);
    budget_charge(budget, ANN, 0, 6 * USD, NOON);
    budget_reserve(budget, entry, 3 * USD, 0);
    assert_int_equal(budget_day_begin(NOON), 20000 * DAY);
    assert_int_equal(budget_day_end(NOON), 20001 * DAY);
    assert_false(budget_turn(budget, 20001 * DAY - 1));
    assert_false(fits(ANN, 2 * USD, NULL));
    assert_true(budget_turn(budget, 20001 * DAY));
    assert_true(fits(ANN, 7 * USD, NULL)); /* what is reserved stays so */
    assert_false(fits(ANN, 7 * USD + 1, NULL));
    budget_charge(budget, ANN, 0, 5 * USD, NOON); /* yesterday's bill, settled today */
    assert_true(fits(ANN, 7 * USD, NULL));
    assert_false(budget_turn(budget, NOON)); /* a clock set back gives nothing out again */
    assert_true(fits(ANN, 7 * USD, NULL));
    free(entry);
}

/* Takes the next, and reserves what it wants as the engine would. */
static const char *release(void)
{
    size_t provider;
    struct budget_entry *entry = budget_next(budget, &provider);
    if (!entry)
        return "";
    budget_reserve(budget, entry, entry->wants, provider);
    return entry->id;
}

static void test_the_first_goes_first(void **state)
{
    (void)state;
    struct budget_entry *old = entry_new(ANN, "1", 0, 2 * USD);
    struct budget_entry *young = entry_new(BOB, "2", 0, 2 * USD);
    struct budget_entry *urgent = entry_new(ANN, "3", 5, 2 * USD);
    struct budget_entry *cheap = entry_new(BOB, "4", 0, 1 * USD);
    struct budget_entry *all[] = {young, cheap, urgent, old};
    budget_set_limits(budget, 0, -1);
    for (size_t i = 0; i < 4; i++)
        budget_hold(budget, all[i], EITHER);
    assert_int_equal(budget_held(budget), 4);
    assert_string_equal(release(), "");
    budget_set_limits(budget, 5 * USD, -1);
    assert_string_equal(release(), "3");
    assert_string_equal(release(), "1");
    assert_string_equal(release(), ""); /* "4" would fit, but "2" is before it */
    budget_set_limits(budget, 6 * USD, -1);
    assert_string_equal(release(), "2");
    budget_set_limits(budget, -1, -1);
    assert_string_equal(release(), "4");
    assert_int_equal(budget_held(budget), 0);
    for (size_t i = 0; i < 4; i++)
        free(all[i]);
}

static void test_who_lacks_money_of_his_own_keeps_nobody_waiting(void **state)
{
    (void)state;
    struct budget_entry *ann = entry_new(ANN, "1", 0, 2 * USD);
    struct budget_entry *bob = entry_new(BOB, "2", 0, 2 * USD);
    struct budget_entry *there = entry_new(BOB, "3", 0, 2 * USD);
    budget_set_limits(budget, -1, 3 * USD);
    budget_set_provider_limit(budget, 0, USD);
    budget_charge(budget, ANN, 1, 2 * USD, NOON);
    budget_hold(budget, ann, EITHER);
    budget_hold(budget, bob, 1); /* only at the provider without room */
    budget_hold(budget, there, EITHER);
    assert_string_equal(release(), "3");
    assert_int_equal(there->provider, 1); /* the one that has it */
    assert_string_equal(release(), "");
    budget_unhold(budget, ann);
    budget_unhold(budget, ann);
    assert_int_equal(budget_held(budget), 1);
    budget_turn(budget, NOON + DAY);
    budget_reserve(budget, there, 0, BUDGET_NOWHERE);
    assert_string_equal(release(), "");
    budget_set_provider_limit(budget, 0, 2 * USD);
    assert_string_equal(release(), "2");
    free(ann);
    free(bob);
    free(there);
}

static void test_over(void **state)
{
    struct budget_state why;
    (void)state;
    budget_set_limits(budget, 5 * USD, 3 * USD);
    budget_charge(budget, ANN, 0, 3 * USD, NOON);
    assert_false(budget_is_over(budget, ANN, BUDGET_NOWHERE, &why));
    budget_charge(budget, ANN, 0, 1, NOON);
    assert_true(budget_is_over(budget, ANN, BUDGET_NOWHERE, &why));
    assert_int_equal(why.scope, BUDGET_OWNER);
    assert_false(budget_is_over(budget, BOB, BUDGET_NOWHERE, &why));
    budget_charge(budget, BOB, 0, 2 * USD, NOON);
    assert_true(budget_is_over(budget, BOB, BUDGET_NOWHERE, &why));
    assert_int_equal(why.scope, BUDGET_ALL);
}

static void test_over_at_a_provider(void **state)
{
    struct budget_state why;
    (void)state;
    budget_set_provider_limit(budget, 1, 2 * USD);
    budget_charge(budget, ANN, 1, 2 * USD + 1, NOON);
    assert_false(budget_is_over(budget, ANN, BUDGET_NOWHERE, &why));
    assert_false(budget_is_over(budget, ANN, 0, &why));
    assert_true(budget_is_over(budget, ANN, 1, &why));
    assert_int_equal(why.scope, BUDGET_PROVIDER);
    assert_int_equal(why.provider, 1);
}

static void test_a_clock_that_is_set_back(void **state)
{
    struct budget_state all;
    (void)state;
    assert_true(budget_turn(budget, NOON + 30 * DAY));
    budget_charge(budget, ANN, 0, USD, NOON + 30 * DAY);
    assert_false(budget_turn(budget, NOON));
    budget_charge(budget, ANN, 0, USD, NOON); /* counts all the same */
    budget_charge(budget, ANN, 0, USD, NOON - DAY);
    budget_all(budget, &all);
    assert_int_equal(all.charged, 2 * USD);
}

static void test_many_owners(void **state)
{
    struct budget_state owner;
    (void)state;
    for (uid_t uid = 0; uid < 500; uid++)
        budget_charge(budget, (uid * 7919) % 500, 0, (int64_t)((uid * 7919) % 500), NOON);
    for (uid_t uid = 0; uid < 500; uid++) {
        budget_owner(budget, uid, &owner);
        assert_int_equal(owner.charged, uid);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_without_limits_all_fits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_reserved_and_charged_counts, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_each_owner_has_his_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_providers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_always_fits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dearer_than_a_whole_day, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_days_turn_in_utc, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_first_goes_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_lacks_money_of_his_own_keeps_nobody_waiting,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_over_at_a_provider, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_clock_that_is_set_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_owners, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
