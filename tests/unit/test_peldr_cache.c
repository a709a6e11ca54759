/*
 * The image cache as users see it: the public API and the command (PELDR_TEST_COMMAND).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "loader/peldr.h"
#include "tests/unit/cache_test.h"

static struct mm_cache_entry entry;

static int folder_setup(void **state)
{
    if (cache_setup(state) != 0)
        return -1;
    unsetenv("PELDR_CACHE_SIZE");
    return setenv("PELDR_CACHE", cache_folder(), 1);
}

/* ---- the library -------------------------------------------------------------------------------
 */

static void test_set_and_ask(void **state)
{
    uint64_t limit = 0;
    assert_int_equal(peldr_set_cache(cache_folder(), 12345), 0);
    char *folder = peldr_cache_folder(&limit);
    assert_string_equal(folder, cache_folder());
    assert_int_equal(limit, 12345);
    free(folder);
    assert_int_equal(peldr_set_cache(NULL, 0), 0);
    folder = peldr_cache_folder(NULL);
    assert_string_equal(folder, cache_folder());
    free(folder);
    assert_int_equal(peldr_set_cache("off", 0), 0);
    assert_null(peldr_cache_folder(&limit));
    assert_non_null(strstr(peldr_error(), "it is off"));
    assert_int_equal(peldr_set_cache("/dev/null", 0), -1);
    assert_int_equal(peldr_error_status(), (uint32_t)STATUS_OBJECT_PATH_NOT_FOUND);
    assert_int_equal(peldr_cache_prune(0, NULL), -1);
    assert_int_equal(peldr_cache_clear(NULL), -1);
    assert_int_equal(peldr_each_cached(NULL, NULL), -1);
}

static int count_entries(void *user, const struct peldr_cache_entry *cached)
{
    uint32_t *count = user;
    assert_int_equal(strlen(cached->name), 33); /* of no image's name */
    assert_string_equal(cached->path, "/no/such/image.dll");
    assert_true(cached->size > 0 && cached->stale && !cached->damaged);
    assert_int_equal(cached->base, 0);
    return ++*count == 3 ? 7 : 0;
}

static void test_entries(void **state)
{
    struct peldr_cache_removed removed;
    uint32_t count = 0;
    for (uint32_t n = 0; n < 5; n++)
        cache_have(n);
    assert_int_equal(peldr_each_cached(count_entries, &count), 7);
    assert_int_equal(count, 3);
    assert_true(cache_find(1, &entry));
    assert_int_equal(peldr_cache_prune(0, &removed), 0); /* stale, all of them */
    assert_int_equal(removed.entries, 4);
    assert_int_equal(removed.kept_in_use, 1);
    assert_true(removed.bytes >= 4 * 3 * MM_PAGE);
    mm_cache_close(&entry);
    assert_int_equal(peldr_cache_clear(NULL), 0);
    count = 0;
    assert_int_equal(peldr_each_cached(count_entries, &count), 0);
    assert_int_equal(count, 0);
}

/* ---- the command -------------------------------------------------------------------------------
 */

static char output[8192];

/* Its exit status; what it prints goes to `output`. */
static int run(const char *arguments)
{
    char line[PATH_MAX + 256];
    const char *command = getenv("PELDR_TEST_COMMAND");
    if (command == NULL || access(command, X_OK) != 0)
        skip();
    snprintf(line, sizeof(line), "%s cache %s 2>&1", command, arguments);
    FILE *from = popen(line, "r");
    assert_non_null(from);
    output[fread(output, 1, sizeof(output) - 1, from)] = '\0';
    int status = pclose(from);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_command(void **state)
{
    for (uint32_t n = 0; n < 3; n++)
        cache_have(n);
    assert_true(cache_find(2, &entry));
    assert_int_equal(run("list"), 0);
    assert_non_null(strstr(output, "/no/such/image.dll"));
    assert_non_null(strstr(output, "in use"));
    assert_non_null(strstr(output, "3 entries, "));
    assert_int_equal(run("list --json"), 0);
    assert_non_null(strstr(output, "\"schema\": \"peldr.cache/1\""));
    assert_non_null(strstr(output, cache_name(1)));
    assert_non_null(strstr(output, "\"in_use\": true"));
    assert_int_equal(run("prune --limit=1G --json"), 0);
    assert_non_null(strstr(output, "\"entries\": 2"));
    assert_non_null(strstr(output, "\"kept_in_use\": 1"));
    assert_int_equal(run("clear"), 0);
    assert_string_equal(output, "removed 0 (0K), 1 in use stay\n");
    mm_cache_close(&entry);
    assert_int_equal(run("prune --limit=0"), 0);
    assert_non_null(strstr(output, "removed 1 ("));
}

static void test_command_refuses(void **state)
{
    assert_int_equal(run("list --cache=off"), 1);
    assert_non_null(strstr(output, "there is no image cache: it is off"));
    assert_int_equal(run("clear --cache=off --json"), 1);
    assert_non_null(strstr(output, "\"status\": \"STATUS_OBJECT_PATH_NOT_FOUND\""));
    assert_int_equal(run("list --cache=/dev/null"), 2);
    assert_int_equal(run("list --limit=1"), 2);
    assert_int_equal(run("prune --limit=many"), 2);
    assert_int_equal(run("prune --limit=18446744073709551615K"), 2);
    assert_int_equal(run("everything"), 2);
    assert_int_equal(run(""), 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, cache_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_set_and_ask),
        TEST(test_entries),
        TEST(test_command),
        TEST(test_command_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
