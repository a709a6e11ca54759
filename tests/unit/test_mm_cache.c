/*
 * The image cache's entries: made, found, trusted and not; whatever lies in their places, an entry
 * that is found trusted holds what was built, and what does not fit makes room for a new one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/cache_test.h"

static struct mm_cache_entry entry;

/* The loader's whole way ends with the right image, and leaves an entry that is found trusted. */
static void assert_recovers(uint32_t n)
{
    assert_true(cache_load(n, &entry));
    assert_true(cache_is_right(n, &entry));
    mm_cache_close(&entry);
    assert_true(cache_find(n, &entry));
    assert_true(cache_is_right(n, &entry));
    mm_cache_close(&entry);
}

/* ---- entries as they should be -----------------------------------------------------------------
 */

static void test_builds_and_finds(void **state)
{
    const char *why;
    char *folder = mm_cache_folder(&why);
    assert_string_equal(folder, cache_folder());
    free(folder);
    assert_false(cache_find(1, &entry));
    assert_true(cache_build(1, &entry));
    assert_true(entry.trusted);
    assert_true(cache_is_right(1, &entry));
    mm_cache_close(&entry);

    cache_begin_anew(0);
    assert_true(cache_find(1, &entry));
    assert_true(cache_is_right(1, &entry));
    assert_int_equal(found_note_size, 4);
    assert_memory_equal(found_note, "note", 4);
    mm_cache_close(&entry);
    assert_false(cache_find(2, &entry));
}

static void test_holes_stay_holes(void **state)
{
    const struct mm_cache_key key = cache_key(1);
    struct mm_cache_build build;
    struct stat st;
    assert_int_equal(mm_cache_begin(&key, 256u << 20, &build), MM_CACHE_BEGUN);
    assert_true(mm_cache_commit(&key, &build, "", 0, "", &entry));
    assert_int_equal(fstat(entry.fd, &st), 0);
    assert_int_equal(st.st_size, (256u << 20) + MM_PAGE);
    assert_true(st.st_blocks * 512 < 65536);
    mm_cache_close(&entry);
}

static void test_every_size_of_note(void **state)
{
    uint8_t note[MM_CACHE_NOTE];
    char path[8000];
    const uint32_t sizes[] = {0, 1, 7, 8, 1000, MM_CACHE_NOTE - 1, MM_CACHE_NOTE};
    memset(path, 'p', sizeof(path));
    for (uint32_t i = 0; i < sizeof(note); i++)
        note[i] = (uint8_t)(i * 7);
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        const struct mm_cache_key key = cache_key(i);
        struct mm_cache_build build;
        path[sizeof(path) - 1 - i * 1000] = '\0';
        assert_int_equal(mm_cache_begin(&key, MM_PAGE, &build), MM_CACHE_BEGUN);
        assert_true(mm_cache_commit(&key, &build, note, sizes[i], path, &entry));
        mm_cache_close(&entry);
        assert_true(cache_find(i, &entry));
        assert_int_equal(found_note_size, sizes[i]);
        assert_memory_equal(found_note, note, sizes[i]);
        mm_cache_close(&entry);
    }
}

/* Each field of the key makes another entry. */
static void test_keys_differ(void **state)
{
    uint8_t bytes[sizeof(struct mm_cache_key)];
    struct mm_cache_key key = cache_key(1);
    cache_have(1);
    for (uint32_t i = 0; i < sizeof(bytes); i++) {
        memcpy(bytes, &key, sizeof(bytes));
        bytes[i] ^= 0x40;
        struct mm_cache_key other;
        memcpy(&other, bytes, sizeof(bytes));
        assert_false(mm_cache_find(&other, &entry, found_note, &found_note_size));
    }
    assert_recovers(1);
}

/* Base and image stand in the file's name, for people. */
static void test_name_tells_base(void **state)
{
    struct mm_cache_key key = cache_key(1);
    uint8_t digest[MM_CACHE_DIGEST], again[MM_CACHE_DIGEST];
    char name[MM_CACHE_NAME];
    key.base = 0x7ffff7a50000;
    memcpy(key.name, "my \xc3\xa4 DLL/1.dll", 15);
    mm_cache_name(&key, digest, name);
    assert_string_equal(name + 32, "-7ffff7a50000.myDLL1.dll");
    assert_true(mm_cache_name_digest(name, again));
    assert_memory_equal(digest, again, sizeof(digest));
    name[33] = 'g';
    assert_false(mm_cache_name_digest(name, again));
    assert_false(mm_cache_name_digest("index", again));
    assert_false(mm_cache_name_digest("", again));
}

/* ---- trust -------------------------------------------------------------------------------------
 */

static void wait_for_clock(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
}

/* Found by somebody else after a comparison, or at once where the file system tells changes. */
static void make_trusted(uint32_t n)
{
    const struct mm_cache_key key = cache_key(n);
    cache_have(n);
    wait_for_clock();
    assert_true(cache_find(n, &entry));
    mm_cache_trust(&key, &entry);
    mm_cache_close(&entry);
    cache_begin_anew(0);
    assert_true(cache_find(n, &entry));
    assert_true(entry.trusted);
    assert_true(mm_cache_still_trusted(&entry));
    mm_cache_close(&entry);
}

static void flip(const char *path, off_t at)
{
    int fd = open(path, O_RDWR);
    uint8_t byte;
    if (fd < 0) { /* not root */
        assert_int_equal(chmod(path, 0600), 0);
        fd = open(path, O_RDWR);
        assert_int_equal(chmod(path, 0400), 0);
    }
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void test_written_to_is_not_trusted(void **state)
{
    make_trusted(1);
    assert_true(cache_find(1, &entry));
    flip(cache_path(1), 100);
    assert_false(mm_cache_still_trusted(&entry));
    mm_cache_close(&entry);
    assert_true(cache_find(1, &entry));
    assert_false(entry.trusted);
    mm_cache_close(&entry);
    assert_recovers(1);
}

/* However soon after the commit: in the builder itself, and for whoever finds it. */
static void test_written_to_at_once(void **state)
{
    for (uint32_t n = 0; n < 50; n++) {
        assert_true(cache_build(n, &entry));
        flip(cache_path(n), 5);
        assert_false(mm_cache_still_trusted(&entry));
        mm_cache_close(&entry);
        assert_true(cache_find(n, &entry));
        assert_false(entry.trusted);
        mm_cache_close(&entry);
        assert_recovers(n);
    }
}

/* Nor is what was written to while somebody compared it. */
static void test_written_to_meanwhile(void **state)
{
    const struct mm_cache_key key = cache_key(1);
    cache_have(1);
    assert_int_equal(unlink(tempdir_path("cache/index")), 0);
    wait_for_clock();
    cache_begin_anew(0);
    assert_true(cache_find(1, &entry));
    assert_false(entry.trusted);
    flip(cache_path(1), 5);
    mm_cache_trust(&key, &entry);
    assert_false(entry.trusted);
    mm_cache_close(&entry);
    assert_true(cache_find(1, &entry));
    assert_false(entry.trusted);
    mm_cache_close(&entry);
    assert_recovers(1);
}

/* Where changes in one tick of the clock have the same time, it takes another look later on. */
static void test_coarse_clock(void **state)
{
    const struct mm_cache_key key = cache_key(1);
    struct mm_cache_place *place = mm_cache_place_get();
    assert_int_equal(place->clock, MM_CACHE_CLOCK_UNKNOWN);
    place->clock = MM_CACHE_CLOCK_COARSE;
    mm_cache_place_put(place);
    assert_true(cache_build(1, &entry));
    assert_true(entry.trusted);
    assert_false(mm_cache_still_trusted(&entry));
    mm_cache_close(&entry);
    assert_true(cache_find(1, &entry));
    assert_false(entry.trusted);
    mm_cache_trust(&key, &entry); /* compared too early */
    assert_true(entry.trusted);
    if (!entry.settled) { /* less than 40 ms until here */
        assert_false(mm_cache_still_trusted(&entry));
        mm_cache_close(&entry);
        wait_for_clock();
        assert_true(cache_find(1, &entry));
        assert_false(entry.trusted);
        mm_cache_trust(&key, &entry);
    }
    assert_true(mm_cache_still_trusted(&entry));
    mm_cache_close(&entry);
    assert_true(cache_find(1, &entry));
    assert_true(entry.trusted);
    mm_cache_close(&entry);
}

static struct mm_cache_place *place_anew(void)
{
    cache_begin_anew(0);
    return mm_cache_place_get();
}

/* What the first builder of a boot finds out of the clock is in the index for the others. */
static void test_clock_is_kept(void **state)
{
    struct mm_cache_place *place;
    uint8_t byte;
    cache_have(1);
    place = place_anew();
    assert_int_equal(place->clock, MM_CACHE_CLOCK_UNKNOWN);
    assert_true(mm_cache_index_get_clock(place));
    assert_true(place->clock == MM_CACHE_CLOCK_FINE || place->clock == MM_CACHE_CLOCK_COARSE);
    place->boot++; /* another kernel, perhaps */
    assert_false(mm_cache_index_get_clock(place));
    place->boot--;
    place->dir_dev++; /* copied from another disk */
    assert_false(mm_cache_index_get_clock(place));
    place->dir_dev--;
    for (off_t at = 1024; at < 1024 + 32; at++) {
        assert_int_equal(pread(place->index, &byte, 1, at), 1);
        byte ^= 1;
        assert_int_equal(pwrite(place->index, &byte, 1, at), 1);
        assert_false(mm_cache_index_get_clock(place));
        byte ^= 1;
        assert_int_equal(pwrite(place->index, &byte, 1, at), 1);
    }
    assert_true(mm_cache_index_get_clock(place));
    mm_cache_place_put(place);
}

static void test_removed_is_not_trusted(void **state)
{
    make_trusted(1);
    assert_true(cache_find(1, &entry));
    assert_int_equal(unlink(cache_path(1)), 0);
    assert_false(mm_cache_still_trusted(&entry));
    assert_true(cache_is_right(1, &entry)); /* whoever has it keeps it */
    mm_cache_close(&entry);
    assert_recovers(1);
}

/* A record of another boot says nothing: the disk may have lost what was written. */
static void test_other_boot(void **state)
{
    struct mm_cache_record record;
    struct mm_cache_place *place;
    uint8_t digest[MM_CACHE_DIGEST];
    make_trusted(1);
    assert_true(mm_cache_name_digest(cache_name(1), digest));
    place = mm_cache_place_get();
    assert_non_null(place);
    assert_true(mm_cache_index_get(place, digest, &record));
    assert_int_equal(record.trusted, 1);
    record.boot ^= 1;
    mm_cache_index_put(place, &record);
    mm_cache_place_put(place);
    assert_true(cache_find(1, &entry));
    assert_false(entry.trusted);
    mm_cache_close(&entry);
    assert_recovers(1);
}

static void test_reject(void **state)
{
    const struct mm_cache_key key = cache_key(1);
    struct mm_cache_entry other;
    cache_have(1);
    assert_true(cache_find(1, &entry));
    mm_cache_reject(&key, &entry);
    assert_int_equal(entry.fd, -1);
    assert_false(cache_find(1, &entry));
    /* The name is another file's by now: that stays. */
    cache_have(1);
    assert_true(cache_find(1, &entry));
    assert_int_equal(unlink(cache_path(1)), 0);
    cache_have(1);
    mm_cache_reject(&key, &entry);
    assert_true(cache_find(1, &other));
    assert_true(cache_is_right(1, &other));
    mm_cache_close(&other);
}

/* ---- hostile entries ---------------------------------------------------------------------------
 */

static void test_flipped_in_image(void **state)
{
    const off_t places[] = {0, 1, MM_PAGE - 1, MM_PAGE, 2 * MM_PAGE, 3 * MM_PAGE - 1};
    for (uint32_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        cache_have(i);
        flip(cache_path(i), places[i]);
        assert_true(cache_find(i, &entry));
        assert_false(entry.trusted);
        assert_false(cache_is_right(i, &entry));
        mm_cache_close(&entry);
        assert_recovers(i);
    }
}

/* Every byte of the note page that means something. */
static void test_flipped_in_note(void **state)
{
    const off_t head = 16 + sizeof(struct mm_cache_key) + 32; /* cache_page.c */
    const off_t end = head + 4 + (off_t)sizeof("/no/such/image.dll");
    for (off_t at = 0; at < end; at++) {
        struct stat st;
        cache_have(1);
        flip(cache_path(1), ENTRY_PAGES * MM_PAGE + at);
        assert_false(cache_find(1, &entry));
        assert_int_equal(stat(cache_path(1), &st), -1);
    }
    assert_recovers(1);
}

static void test_truncated(void **state)
{
    const off_t sizes[] = {0,           1,           MM_PAGE - 1,     MM_PAGE,
                           MM_PAGE + 1, 3 * MM_PAGE, 4 * MM_PAGE - 1, 4 * MM_PAGE + 1,
                           5 * MM_PAGE, 1ll << 33};
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        cache_have(i);
        assert_int_equal(chmod(cache_path(i), 0600), 0);
        assert_int_equal(truncate(cache_path(i), sizes[i]), 0);
        assert_int_equal(chmod(cache_path(i), 0400), 0);
        assert_false(cache_find(i, &entry));
        assert_recovers(i);
    }
}

/* The first of an image's pages, and nothing else, as a copy that was cut off would look. */
static void test_half_written(void **state)
{
    uint8_t page[MM_PAGE];
    int fd = open(cache_path(1), O_RDWR | O_CREAT | O_EXCL, 0600);
    cache_fill(1, page);
    assert_int_equal(write(fd, page, sizeof(page)), sizeof(page));
    assert_int_equal(ftruncate(fd, (ENTRY_PAGES + 1) * MM_PAGE), 0);
    assert_int_equal(fchmod(fd, 0400), 0);
    close(fd);
    assert_false(cache_find(1, &entry));
    assert_recovers(1);
}

static void test_wrong_mode(void **state)
{
    const mode_t modes[] = {0, 0600, 0440, 0404, 0500, 0700, 01400, 02400, 04400, 0777};
    for (uint32_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
        cache_have(i);
        assert_int_equal(chmod(cache_path(i), modes[i]), 0);
        assert_false(cache_find(i, &entry));
        assert_recovers(i);
    }
}

static void test_replaced_by_another(void **state)
{
    cache_have(1);
    cache_have(2);
    assert_int_equal(rename(cache_path(2), cache_path(1)), 0);
    assert_false(cache_find(1, &entry));
    assert_recovers(1);
    assert_recovers(2);
}

static void test_hard_link(void **state)
{
    cache_have(1);
    assert_int_equal(link(cache_path(1), tempdir_path("kept")), 0);
    assert_false(cache_find(1, &entry));
    assert_recovers(1);
}

static void test_symbolic_link(void **state)
{
    cache_have(1);
    assert_int_equal(rename(cache_path(1), tempdir_path("elsewhere")), 0);
    assert_int_equal(symlink(tempdir_path("elsewhere"), cache_path(1)), 0);
    assert_false(cache_find(1, &entry));
    assert_recovers(1);
    struct stat st;
    assert_int_equal(stat(tempdir_path("elsewhere"), &st), 0);
}

static void make_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), here = open(".", O_RDONLY | O_DIRECTORY);
    assert_int_equal(chdir(cache_folder()), 0);
    strcpy(address.sun_path, strrchr(path, '/') + 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(fchdir(here), 0);
    close(here);
    close(fd);
}

static void test_other_types(void **state)
{
    assert_int_equal(mkdir(cache_path(1), 0400), 0);
    assert_false(cache_find(1, &entry));
    assert_recovers(1);
    assert_int_equal(mkfifo(cache_path(2), 0400), 0);
    assert_false(cache_find(2, &entry));
    assert_recovers(2);
    make_socket(cache_path(3));
    assert_false(cache_find(3, &entry));
    assert_recovers(3);
}

/* It stays, and that image has no entry. */
static void test_full_folder(void **state)
{
    char inside[256];
    assert_int_equal(mkdir(cache_path(1), 0700), 0);
    snprintf(inside, sizeof(inside), "%s/file", cache_path(1));
    close(open(inside, O_CREAT | O_WRONLY, 0600));
    assert_false(cache_find(1, &entry));
    assert_false(cache_load(1, &entry));
    assert_int_equal(access(inside, F_OK), 0);
    assert_recovers(2);
}

static void test_foreign_owner(void **state)
{
    if (geteuid() != 0)
        skip();
    cache_have(1);
    assert_int_equal(chown(cache_path(1), 12345, (gid_t)-1), 0);
    assert_int_equal(chmod(cache_path(1), 0400), 0);
    assert_false(cache_find(1, &entry));
    assert_recovers(1);
}

/* ---- hostile index -----------------------------------------------------------------------------
 */

static void assert_index_recovers(void)
{
    cache_begin_anew(0);
    assert_true(cache_find(1, &entry));
    assert_false(entry.trusted);
    mm_cache_close(&entry);
    assert_recovers(1);
    make_trusted(2);
    assert_int_equal(unlink(cache_path(2)), 0);
}

static void fill_index(int (*byte)(void))
{
    int fd = open(tempdir_path("cache/index"), O_RDWR);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    uint8_t *bytes = malloc((size_t)st.st_size);
    for (off_t i = 0; i < st.st_size; i++)
        bytes[i] = (uint8_t)byte();
    assert_int_equal(pwrite(fd, bytes, (size_t)st.st_size, 0), st.st_size);
    free(bytes);
    close(fd);
}

static int ones(void)
{
    return 0xff;
}

static void test_index_of_any_bytes(void **state)
{
    make_trusted(1);
    fill_index(rand);
    assert_index_recovers();
    fill_index(ones);
    assert_index_recovers();
}

static void test_index_of_any_size(void **state)
{
    const off_t sizes[] = {0, 1, 4096, 100000, 1 << 30};
    make_trusted(1);
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        assert_int_equal(truncate(tempdir_path("cache/index"), sizes[i]), 0);
        if (i == 0) { /* under the feet of a process that has it open */
            assert_true(cache_find(1, &entry));
            assert_false(entry.trusted);
            mm_cache_close(&entry);
        }
        assert_index_recovers();
    }
}

static void test_index_of_any_type(void **state)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s", tempdir_path("cache/index"));
    make_trusted(1);
    for (int type = 0; type < 5; type++) {
        assert_int_equal(unlink(path), 0);
        if (type == 0)
            assert_int_equal(mkdir(path, 0700), 0);
        else if (type == 1)
            assert_int_equal(symlink("/dev/zero", path), 0);
        else if (type == 2)
            assert_int_equal(mkfifo(path, 0600), 0);
        else if (type == 3)
            assert_int_equal(link(cache_path(1), path), 0);
        else
            close(open(path, O_CREAT | O_WRONLY, 0644));
        if (type == 3) { /* another name of the entry: it goes, and with it the entry's second */
            cache_begin_anew(0);
            continue;
        }
        assert_index_recovers();
    }
}

/* Removed under the feet of a process that has it open: it finds the new one. */
static void test_index_removed(void **state)
{
    const struct mm_cache_key key = cache_key(1);
    make_trusted(1);
    assert_int_equal(unlink(tempdir_path("cache/index")), 0);
    for (int i = 0; i < 2; i++) {
        assert_true(cache_find(1, &entry));
        mm_cache_trust(&key, &entry);
        mm_cache_close(&entry);
    }
    cache_begin_anew(0);
    assert_true(cache_find(1, &entry));
    assert_true(entry.trusted);
    mm_cache_close(&entry);
}

/* The host has closed all descriptors, and has others by the same numbers. */
static void test_descriptors_closed(void **state)
{
    make_trusted(1);
    struct mm_cache_place *place = mm_cache_place_get();
    int dir = place->dir, index = place->index;
    mm_cache_place_put(place);
    int fd = open(tempdir_path("of the host"), O_RDWR | O_CREAT, 0600);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    assert_int_equal(dup2(fd, index), index);
    assert_int_equal(dup2(fd, dir), dir);
    assert_false(cache_find(1, &entry));
    assert_recovers(2);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_blocks, 0);
    close(fd);
    assert_true(cache_find(1, &entry));
    mm_cache_close(&entry);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, cache_setup, cache_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_builds_and_finds),
        TEST(test_holes_stay_holes),
        TEST(test_every_size_of_note),
        TEST(test_keys_differ),
        TEST(test_name_tells_base),
        TEST(test_written_to_is_not_trusted),
        TEST(test_written_to_at_once),
        TEST(test_written_to_meanwhile),
        TEST(test_coarse_clock),
        TEST(test_clock_is_kept),
        TEST(test_removed_is_not_trusted),
        TEST(test_other_boot),
        TEST(test_reject),
        TEST(test_flipped_in_image),
        TEST(test_flipped_in_note),
        TEST(test_truncated),
        TEST(test_half_written),
        TEST(test_wrong_mode),
        TEST(test_replaced_by_another),
        TEST(test_hard_link),
        TEST(test_symbolic_link),
        TEST(test_other_types),
        TEST(test_full_folder),
        TEST(test_foreign_owner),
        TEST(test_index_of_any_bytes),
        TEST(test_index_of_any_size),
        TEST(test_index_of_any_type),
        TEST(test_index_removed),
        TEST(test_descriptors_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
