/*
 * A second instance of a program, and a second process with a DLL, map the same image section
 * objects (design, decision 1): the kernel's own account of two `peldr run` processes.
 *
 * What smaps calls clean or dirty is about the object's memory, which lies in no disk file and
 * therefore counts as dirty from the start; what a process has written itself is "Anonymous".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/samples.h"
#include "tests/unit/linger.h"
#include "tests/unit/tempdir.h"

/* KiB of one mapping in /proc/PID/smaps. */
struct mapping {
    uint64_t start, end, inode;
    char access[5];
    char path[256];
    long rss, shared, private, anonymous;
};

static void add_count(struct mapping *m, const char *line)
{
    static const struct {
        const char *key;
        size_t field;
    } counts[] = {
        {"Rss:", offsetof(struct mapping, rss)},
        {"Shared_Clean:", offsetof(struct mapping, shared)},
        {"Shared_Dirty:", offsetof(struct mapping, shared)},
        {"Private_Clean:", offsetof(struct mapping, private)},
        {"Private_Dirty:", offsetof(struct mapping, private)},
        {"Anonymous:", offsetof(struct mapping, anonymous)},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (strncmp(line, counts[i].key, strlen(counts[i].key)) == 0)
            *(long *)((char *)m + counts[i].field) += atol(line + strlen(counts[i].key));
}

/* The mappings of `image` in a process, at most `room`. */
static unsigned read_mappings(pid_t pid, const char *image, struct mapping *out, unsigned room)
{
    char path[64], line[1024];
    unsigned count = 0;
    struct mapping m;
    bool wanted = false;
    snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
    FILE *smaps = fopen(path, "r");
    assert_non_null(smaps);
    while (fgets(line, sizeof line, smaps)) {
        memset(&m, 0, sizeof m);
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %*s %" SCNu64 " %255s", &m.start, &m.end,
                   m.access, &m.inode, m.path) >= 4) {
            wanted = strstr(m.path, image) != NULL && count < room;
            if (wanted)
                out[count++] = m;
        } else if (wanted) {
            add_count(&out[count - 1], line);
        }
    }
    fclose(smaps);
    return count;
}

/* The same object in both; nothing private but what was copied, and no code copied. */
static void compare(pid_t one, pid_t two, const char *image)
{
    struct mapping a[32], b[32];
    unsigned count = read_mappings(one, image, a, 32);
    assert_true(count >= 3);
    assert_int_equal(read_mappings(two, image, b, 32), count);
    for (unsigned i = 0; i < count; i++) {
        assert_true(a[i].inode == b[i].inode);
        assert_true(a[i].start == b[i].start);
        assert_int_equal(a[i].private, a[i].anonymous);
        assert_int_equal(b[i].private, b[i].anonymous);
        assert_int_equal(a[i].shared, a[i].rss - a[i].anonymous);
        if (a[i].access[2] == 'x') {
            assert_true(a[i].shared > 0);
            assert_int_equal(a[i].anonymous, 0);
        }
    }
}

/* The mapping that holds the program's own pages at `address`. */
static struct mapping mapping_at(pid_t pid, uint64_t address)
{
    struct mapping all[32];
    unsigned count = read_mappings(pid, "linger.exe", all, 32);
    for (unsigned i = 0; i < count; i++)
        if (address >= all[i].start && address < all[i].end)
            return all[i];
    fail_msg("0x%" PRIx64 " is not mapped from linger.exe", address);
    return all[0];
}

static void check_instances(const char *command, const char *exe, const char *dll)
{
    struct linger one, two;
    assert_true(linger_start(&one, command, exe, dll));
    assert_true(linger_start(&two, command, exe, dll));
    compare(one.pid, two.pid, "linger.exe");
    compare(one.pid, two.pid, "elsewhere.dll");

    struct mapping constants = mapping_at(two.pid, two.constants);
    struct mapping data = mapping_at(two.pid, two.data);
    assert_true(constants.shared >= LINGER_PAGES * 4);
    assert_true(data.shared >= (LINGER_PAGES - 1) * 4);
    assert_true(data.anonymous >= 4);

    /* It outlives the process that built it. */
    assert_int_equal(linger_end(&one, SIGKILL), SIGKILL);
    assert_true(linger_start(&one, command, exe, dll));
    compare(one.pid, two.pid, "linger.exe");
    assert_int_equal(linger_end(&one, 0), 0);
    assert_int_equal(linger_end(&two, 0), 0);
}

static void test_second_instance(void **state)
{
    const char *command = getenv("PELDR_TEST_COMMAND");
    char exe[SAMPLE_PATH_MAX], dll[SAMPLE_PATH_MAX];
    bool found = false;
    for (const char *const *set = sample_sets; command && *set; set++)
        if (sample_path(*set, "linger.exe", exe) && sample_path(*set, "elsewhere.dll", dll)) {
            check_instances(command, exe, dll);
            found = true;
        }
    if (!found)
        skip();
}

static int set_up(void **state)
{
    return tempdir_create() == 0 && setenv("XDG_RUNTIME_DIR", tempdir, 1) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_second_instance, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
