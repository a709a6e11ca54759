/*
 * Loading with a cache of images in which anything may lie: every load, by a process of its own,
 * shows the image as the file has it, at its preferred base and moved.
 *
 * What is expected is made from the file by the test itself. The parent never loads anything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#include "loader/peldr.h"
#include "tests/unit/cache_test.h"
#include "tests/unit/reloc_image.h"

/* Every process of a sanitizer's build starts slowly: fewer of them there. */
#if defined(__SANITIZE_ADDRESS__)
#define STRIDE 7u
#else
#define STRIDE 1u
#endif

#if defined(__x86_64__)
#define WORD PEBUILD_PE32_PLUS
#else
#define WORD 0u
#endif

#define POINTERS 300u /* on three pages */

/* How a process loads it. */
enum how { PLAIN, MOVED, HOWS };

/* ---- an image and what it has to look like -----------------------------------------------------
 */

struct subject {
    char path[PATH_MAX + 16];
    uint8_t *mapped;
    uint32_t size;
    uint32_t pointers; /* RVA of the pointers in .data */
    uint64_t preferred;
};

/* Sections of all kinds whose bytes come from `seed`; the file's size does not. */
static void write_image(const char *path, uint32_t seed, struct subject *out)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL | WORD);
    uint8_t bytes[5000];
    struct test_image image;
    FILE *file;

    if (sizeof(void *) == 8) /* AddressSanitizer has taken the usual one */
        b->h.image_base = 0x300000000000u;
    b->h.address_of_entry_point = 0;
    b->h.dll_characteristics |= IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE;
    for (uint32_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(test_random(&seed) >> 3);
    pebuild_section(b, ".text", PEBUILD_TEXT, bytes, sizeof(bytes), 0);
    pebuild_section(b, ".rdata", PEBUILD_RDATA, bytes + 100, 700, 0);
    struct pebuild_buffer data = pebuild_buffer(b);
    out->pointers = pebuild_here(&data);
    for (uint32_t i = 0; i < POINTERS; i++) {
        pebuild_va(&data, 0x1000 + i);
        pebuild_bytes(&data, bytes + i, 32);
    }
    pebuild_buffer_section(&data, ".data", PEBUILD_DATA);
    pebuild_section(b, ".bss", PEBUILD_BSS, NULL, 0, 20000);
    pebuild_relocs(b);
    out->preferred = b->h.image_base;
    image = test_image_make(b);
    file = fopen(path, "r+b"); /* in place when it is there */
    if (file == NULL)
        file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(image.file_bytes, 1, (size_t)image.file_size, file), image.file_size);
    assert_int_equal(fclose(file), 0);
    snprintf(out->path, sizeof(out->path), "%s", path);
    free(out->mapped);
    out->mapped = malloc(image.size);
    memcpy(out->mapped, image.bytes, image.size);
    out->size = image.size;
    test_image_free(&image);
}

/* As it looks at a base: the pointers, and ImageBase, which is the new one for images with
 * DYNAMIC_BASE (facts 2.3). */
static uint8_t *expected_at(const struct subject *subject, uint64_t base)
{
    uint8_t *expected = malloc(subject->size);
    uint32_t e_lfanew, step = sizeof(void *) + 32;
    uintptr_t value, delta = (uintptr_t)(base - subject->preferred);

    memcpy(expected, subject->mapped, subject->size);
    for (uint32_t i = 0; i < POINTERS; i++) {
        uint8_t *at = expected + subject->pointers + i * step;

        memcpy(&value, at, sizeof(value));
        value += delta;
        memcpy(at, &value, sizeof(value));
    }
    value = (uintptr_t)base;
    memcpy(&e_lfanew, expected + 0x3c, sizeof(e_lfanew));
    memcpy(expected + e_lfanew + (sizeof(void *) == 8 ? 48 : 52), &value, sizeof(value));
    return expected;
}

/* ---- in a process of its own -------------------------------------------------------------------
 */

enum { RIGHT = 0, NOT_LOADED = 1, WRONG = 2 };

/* What VirtualQuery tells of the view, by PE section. */
static bool has_right_regions(peldr_module *module)
{
    static const struct {
        const char *section;
        uint32_t rva, protect;
    } rows[] = {
        {"", 0x0, 0x2},          {".text", 0x1000, 0x20}, {".text", 0x2000, 0x20},
        {".rdata", 0x3000, 0x2}, {".data", 0x4000, 0x8},  {".bss", 0x8000, 0x8},
    };
    struct peldr_region region;
    uint32_t cursor = 0, found = 0;

    while (peldr_next_region(module, &cursor, &region) == 1)
        for (uint32_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
            if (rows[i].rva >= region.rva && rows[i].rva - region.rva < region.size) {
                if (strcmp(region.section, rows[i].section) != 0 ||
                    region.initial_protect != rows[i].protect)
                    fprintf(stderr, "RVA 0x%x: %s 0x%x\n", rows[i].rva, region.section,
                            region.initial_protect);
                else
                    found |= 1u << i;
            }
    return found == (1u << sizeof(rows) / sizeof(*rows)) - 1;
}

static int load(const struct subject *subject, enum how how)
{
    struct peldr_module_info info;
    peldr_module *module;
    uint8_t *expected;
    int result = RIGHT;

    if (how == MOVED && peldr_reserve(subject->preferred, 0x10000) != 0)
        return NOT_LOADED;
    module = peldr_open(subject->path, 0);
    if (module == NULL || peldr_module_info(module, &info) != 0) {
        fprintf(stderr, "%s\n", peldr_error());
        return NOT_LOADED;
    }
    expected = expected_at(subject, info.base);
    if (!has_right_regions(module) || info.size != subject->size ||
        (info.base != subject->preferred) != (how == MOVED))
        result = WRONG;
    for (uint32_t at = 0; result == RIGHT && at < subject->size; at++)
        if (((const uint8_t *)(uintptr_t)info.base)[at] != expected[at]) {
            fprintf(stderr, "RVA 0x%x differs\n", at);
            result = WRONG;
        }
    peldr_close(module);
    return result;
}

static pid_t start_load(const struct subject *subject, enum how how)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(load(subject, how));
    return child;
}

static int end_of(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void assert_loads(const struct subject *subject)
{
    for (int round = 0; round < 2; round++)
        for (enum how how = PLAIN; how < HOWS; how++)
            assert_int_equal(end_of(start_load(subject, how)), RIGHT);
}

/* ---- the folder --------------------------------------------------------------------------------
 */

#define MAX_ENTRIES 16

static char entries[MAX_ENTRIES][PATH_MAX + 256];

static uint32_t list_entries(void)
{
    uint8_t digest[MM_CACHE_DIGEST];
    uint32_t count = 0;
    DIR *dir = opendir(cache_folder());
    for (struct dirent *file; dir != NULL && (file = readdir(dir)) != NULL;)
        if (mm_cache_name_digest(file->d_name, digest) && count < MAX_ENTRIES)
            snprintf(entries[count++], sizeof(entries[0]), "%.4000s/%.255s", cache_folder(),
                     file->d_name);
    if (dir != NULL)
        closedir(dir);
    return count;
}

/* So that a test that spoils entries has some. */
static uint32_t must_have_entries(const struct subject *subject)
{
    assert_loads(subject);
    uint32_t count = list_entries();
    assert_true(count >= 2); /* as the file has it, and moved */
    return count;
}

static bool add_damaged(void *user, const struct mm_cache_info *info)
{
    *(uint32_t *)user += info->damaged;
    return true;
}

/* Whatever was spoilt has been made anew. */
static void assert_healed(const struct subject *subject)
{
    uint32_t damaged = 0;
    assert_loads(subject);
    assert_true(list_entries() >= 2);
    assert_status(mm_cache_set_place(NULL, 0, NULL), STATUS_SUCCESS);
    assert_status(mm_cache_each(add_damaged, &damaged, NULL), STATUS_SUCCESS);
    assert_int_equal(damaged, 0);
}

static void clear(void)
{
    struct mm_cache_removed removed;
    assert_status(mm_cache_clear(&removed, NULL), STATUS_SUCCESS);
    assert_int_equal(removed.kept_in_use, 0);
}

static struct subject subject, other;

static void wait_for_clock(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 45000000}, NULL);
}

static int setup(void **state)
{
    subject = other = (struct subject){0};
    if (tempdir_create() != 0)
        return -1;
    tempdir_mkdir("run");
    chmod(tempdir_path("run"), 0700);
    setenv("XDG_RUNTIME_DIR", tempdir_path("run"), 1);
    setenv("PELDR_CACHE", cache_folder(), 1);
    unsetenv("PELDR_CACHE_SIZE");
    write_image(tempdir_path("subject.dll"), 1, &subject);
    write_image(tempdir_path("other.dll"), 2, &other);
    wait_for_clock(); /* an image that was written just now is compared at every load */
    return nt_ok(mm_cache_set_place(NULL, 0, NULL)) ? 0 : -1;
}

static int teardown(void **state)
{
    free(subject.mapped);
    free(other.mapped);
    return cache_teardown(state);
}

/* ---- spoiling an entry -------------------------------------------------------------------------
 */

static void change(const char *path, bool (*bytes)(int fd, off_t size))
{
    struct stat st;
    assert_int_equal(chmod(path, 0600), 0);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(bytes(fd, st.st_size));
    assert_int_equal(fchmod(fd, 0400), 0);
    close(fd);
}

static bool flip_at(int fd, off_t at)
{
    uint8_t byte;
    if (pread(fd, &byte, 1, at) != 1)
        return false;
    byte ^= 0x20;
    return pwrite(fd, &byte, 1, at) == 1;
}

static bool flip_each_page(int fd, off_t size)
{
    for (off_t at = 17; at < size; at += MM_PAGE)
        if (!flip_at(fd, at))
            return false;
    return true;
}

static bool flip_text(int fd, off_t size)
{
    return flip_at(fd, 0x1000 + 77);
}

static bool flip_zero_fill(int fd, off_t size)
{
    return flip_at(fd, size - (off_t)MM_PAGE - 5000);
}

static bool flip_header(int fd, off_t size)
{
    return flip_at(fd, 0x3c);
}

static bool cut_all(int fd, off_t size)
{
    return ftruncate(fd, 0) == 0;
}

static bool cut_note(int fd, off_t size)
{
    return ftruncate(fd, size - (off_t)MM_PAGE) == 0;
}

static bool cut_byte(int fd, off_t size)
{
    return ftruncate(fd, size - 1) == 0;
}

static bool grow(int fd, off_t size)
{
    return ftruncate(fd, size + (off_t)MM_PAGE) == 0;
}

/* What a disk shows after a power cut that came before the data. */
static bool lose_pages(int fd, off_t size)
{
    return ftruncate(fd, 0x1000) == 0 && ftruncate(fd, size) == 0;
}

static bool lose_image(int fd, off_t size)
{
    uint8_t note[MM_PAGE];
    return pread(fd, note, sizeof(note), size - (off_t)MM_PAGE) == (ssize_t)sizeof(note) &&
           ftruncate(fd, 0) == 0 &&
           pwrite(fd, note, sizeof(note), size - (off_t)MM_PAGE) == (ssize_t)sizeof(note);
}

static bool change_nothing(int fd, off_t size)
{
    return true;
}

static void test_changed_bytes(void **state)
{
    static bool (*const changes[])(int fd, off_t size) = {
        flip_each_page, flip_text, flip_zero_fill, flip_header, cut_all,       cut_note,
        cut_byte,       grow,      lose_pages,     lose_image,  change_nothing};
    for (uint32_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
        uint32_t count = must_have_entries(&subject);
        for (uint32_t n = 0; n < count; n++)
            change(entries[n], changes[i]);
        assert_healed(&subject);
    }
}

/* Every byte of the note is another one, under a sum that is right. */
static bool forge_note(int fd, off_t size, uint32_t at, uint8_t flip)
{
    uint8_t bytes[MM_PAGE], note[MM_CACHE_NOTE];
    struct mm_cache_page page;
    off_t begin = size - (off_t)MM_PAGE;

    if (pread(fd, bytes, sizeof(bytes), begin) != (ssize_t)sizeof(bytes) ||
        !mm_cache_page_read(bytes, &page) || at >= page.note_size)
        return false;
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s", page.path);
    struct mm_cache_key key = page.key;
    uint32_t note_size = page.note_size;
    memcpy(note, page.note, note_size);
    note[at] ^= flip;
    mm_cache_page_write(bytes, &key, page.image_size, note, note_size, path);
    return pwrite(fd, bytes, sizeof(bytes), begin) == (ssize_t)sizeof(bytes);
}

static uint32_t forge_place;
static uint8_t forge_flip;

static bool forge(int fd, off_t size)
{
    return forge_note(fd, size, forge_place, forge_flip);
}

static uint32_t note_size_of(const char *path)
{
    uint8_t bytes[MM_PAGE];
    struct mm_cache_page page;
    struct stat st;
    int fd = open(path, O_RDONLY);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(mm_cache_entry_read(fd, &st, bytes, &page));
    close(fd);
    return page.note_size;
}

static void copy_to(const char *from, const char *to)
{
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0400);
    struct stat st;
    assert_true(in >= 0 && out >= 0);
    assert_int_equal(fstat(in, &st), 0);
    assert_int_equal(copy_file_range(in, NULL, out, NULL, (size_t)st.st_size, 0), st.st_size);
    close(in);
    close(out);
}

/* One wrong byte at a time, in what was kept of the entry. */
static void forge_kept(const char *path, uint32_t place, uint8_t flip)
{
    forge_place = place;
    forge_flip = flip;
    unlink(path);
    copy_to(tempdir_path("kept"), path);
    change(path, forge);
}

static void keep(const char *path)
{
    unlink(tempdir_path("kept"));
    copy_to(path, tempdir_path("kept"));
}

static void forge_and_load(const char *path, uint32_t place, uint8_t flip)
{
    forge_kept(path, place, flip);
    /* The second load sees what the first one trusts, once the clock has moved on. */
    wait_for_clock();
    for (uint32_t i = 0; i < 2 * HOWS; i++)
        assert_int_equal(end_of(start_load(&subject, i % HOWS)), RIGHT);
}

/* The headers here and there, all that is said of where pages come from. */
static void test_forged_note(void **state)
{
    const uint32_t extents = 6 * 32;
    uint32_t count = must_have_entries(&subject);
    for (uint32_t n = 0; n < count; n++) {
        uint32_t size = note_size_of(entries[n]);
        assert_true(size > extents);
        keep(entries[n]);
        for (uint32_t place = 0; place < size - extents; place += 29 * STRIDE)
            forge_and_load(entries[n], place, (uint8_t)(1u << place % 8));
        for (uint32_t place = size - extents; place < size; place += 3 * STRIDE)
            forge_and_load(entries[n], place, place % 2 ? 0x10 : 2);
    }
    assert_healed(&subject);
}

/* And the index says that it is all right, which only the user can have written: the load gives
 * whatever the note says, or fails, but nobody crashes while loading. */
static void trust_blindly(const char *path)
{
    uint8_t digest[MM_CACHE_DIGEST];
    struct mm_cache_place *place = mm_cache_place_get();
    struct stat st;
    assert_true(mm_cache_name_digest(strrchr(path, '/') + 1, digest));
    assert_int_equal(stat(path, &st), 0);
    const struct mm_cache_entry entry = {
        .dev = st.st_dev, .ino = st.st_ino, .ctime = st.st_ctim, .trusted = true, .settled = true};
    mm_cache_entry_record(place, digest, &entry);
    mm_cache_place_put(place);
}

static int only_open(enum how how)
{
    if (how == MOVED && peldr_reserve(subject.preferred, 0x10000) != 0)
        return NOT_LOADED;
    peldr_open(subject.path, PELDR_MAP_ONLY);
    return 0;
}

static void test_forged_and_trusted(void **state)
{
    uint32_t count = must_have_entries(&subject);
    for (uint32_t n = 0; n < count; n++) {
        uint32_t size = note_size_of(entries[n]);
        keep(entries[n]);
        for (uint32_t place = 0; place < size; place += 3 * STRIDE) {
            forge_kept(entries[n], place, (uint8_t)(0xff >> place % 8));
            trust_blindly(entries[n]);
            fflush(NULL);
            pid_t child = fork();
            if (child == 0) {
                alarm(60);
                _exit(only_open(strrchr(entries[n], '/')[1 + 2 * MM_CACHE_DIGEST] == '-' ? MOVED
                                                                                         : PLAIN));
            }
            assert_true(WIFEXITED(end_of(child)));
        }
    }
    clear();
    assert_healed(&subject);
}

/* ---- something else in its place ---------------------------------------------------------------
 */

static void swap_files(const char *a, const char *b)
{
    assert_int_equal(renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE), 0);
}

/* By each other, and by those of another image. */
static void test_replaced(void **state)
{
    char plain[sizeof(entries[0])];
    must_have_entries(&subject);
    swap_files(entries[0], entries[1]);
    assert_healed(&subject);
    list_entries();
    snprintf(plain, sizeof(plain), "%s", entries[0]);
    clear();
    must_have_entries(&other);
    copy_to(entries[0], plain);
    assert_loads(&subject);
    assert_loads(&other);
}

/* A copy is as good as what it was made of, once it was compared. */
static void test_copied(void **state)
{
    uint32_t count = must_have_entries(&subject);
    for (uint32_t n = 0; n < count; n++) {
        copy_to(entries[n], tempdir_path("copy"));
        assert_int_equal(rename(tempdir_path("copy"), entries[n]), 0);
    }
    assert_healed(&subject);
}

static void make_link(const char *path)
{
    unlink(tempdir_path("elsewhere"));
    copy_to(path, tempdir_path("elsewhere"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(tempdir_path("elsewhere"), path), 0);
}

static void make_hard_link(const char *path)
{
    unlink(tempdir_path("second"));
    assert_int_equal(link(path, tempdir_path("second")), 0);
}

static void make_folder(const char *path)
{
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0400), 0);
}

static void make_fifo(const char *path)
{
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0400), 0);
}

static void open_to_all(const char *path)
{
    assert_int_equal(chmod(path, 0644), 0);
}

static void give_away(const char *path)
{
    if (geteuid() == 0)
        assert_int_equal(chown(path, 12345, (gid_t)-1) | chmod(path, 0400), 0);
}

static void remove_it(const char *path)
{
    assert_int_equal(unlink(path), 0);
}

static void test_other_things(void **state)
{
    static void (*const spoilers[])(const char *path) = {
        make_link, make_hard_link, make_folder, make_fifo, open_to_all, give_away, remove_it};
    for (uint32_t i = 0; i < sizeof(spoilers) / sizeof(*spoilers); i++) {
        uint32_t count = must_have_entries(&subject);
        for (uint32_t n = 0; n < count; n++)
            spoilers[i](entries[n]);
        assert_healed(&subject);
    }
}

static void test_hostile_index(void **state)
{
    char path[PATH_MAX];
    uint8_t bytes[4096];
    snprintf(path, sizeof(path), "%s", tempdir_path("cache/index"));
    for (int i = 0; i < 4; i++) {
        must_have_entries(&subject);
        int fd = open(path, O_RDWR);
        for (off_t at = 0; i == 0 && at < 593920; at += (off_t)sizeof(bytes)) {
            for (uint32_t k = 0; k < sizeof(bytes); k++)
                bytes[k] = (uint8_t)rand();
            assert_int_equal(pwrite(fd, bytes, sizeof(bytes), at), sizeof(bytes));
        }
        close(fd);
        if (i == 1)
            assert_int_equal(truncate(path, 5000), 0);
        if (i >= 2)
            assert_int_equal(unlink(path), 0);
        if (i == 3)
            assert_int_equal(mkdir(path, 0700), 0);
        assert_healed(&subject);
    }
}

static void test_no_cache_at_all(void **state)
{
    const char *const places[] = {"off", "/dev/null", "/proc/nowhere", "not absolute"};
    for (uint32_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        setenv("PELDR_CACHE", places[i], 1);
        assert_loads(&subject);
    }
    assert_int_equal(list_entries(), 0);
    setenv("PELDR_CACHE", cache_folder(), 1);
    assert_healed(&subject);
    assert_int_equal(chmod(cache_folder(), 0755), 0);
    assert_loads(&subject);
    assert_int_equal(chmod(cache_folder(), 0700), 0);
}

/* ---- the image file changes --------------------------------------------------------------------
 */

/* In place, within a tick of the clock, and with its time set back. */
static void test_image_changes(void **state)
{
    struct timespec times[2];
    struct stat st;
    assert_loads(&subject);
    assert_int_equal(stat(subject.path, &st), 0);
    times[0] = st.st_atim;
    times[1] = st.st_mtim;
    for (uint32_t seed = 10; seed < 30; seed++) {
        write_image(tempdir_path("subject.dll"), seed, &subject);
        assert_int_equal(utimensat(AT_FDCWD, subject.path, times, 0), 0);
        assert_int_equal(end_of(start_load(&subject, seed % HOWS)), RIGHT);
        if (seed % 3 == 0)
            assert_loads(&subject);
    }
    write_image(tempdir_path("new.dll"), 99, &subject);
    assert_int_equal(rename(tempdir_path("new.dll"), tempdir_path("subject.dll")), 0);
    snprintf(subject.path, sizeof(subject.path), "%s", tempdir_path("subject.dll"));
    assert_healed(&subject);
}

/* ---- several processes -------------------------------------------------------------------------
 */

#define CROWD 8

static void test_all_at_once(void **state)
{
    for (int round = 0; round < 6; round++) {
        pid_t children[CROWD];
        for (uint32_t i = 0; i < CROWD; i++)
            children[i] = start_load(&subject, (i + (uint32_t)round) % HOWS);
        for (uint32_t i = 0; i < CROWD; i++)
            assert_int_equal(end_of(children[i]), RIGHT);
        if (round % 2 == 0)
            clear();
    }
    assert_healed(&subject);
}

/* Runs a load up to its `steps`th stop at a system call, and kills it there. False: it ended. */
static bool kill_at(enum how how, uint32_t steps, int *status)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(97);
        raise(SIGSTOP);
        _exit(load(&subject, how));
    }
    assert_int_equal(waitpid(child, status, 0), child);
    if (!WIFSTOPPED(*status))
        return false;
    ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)(uintptr_t)PTRACE_O_EXITKILL);
    for (uint32_t i = 0; i < steps; i++) {
        int signal =
            WIFSTOPPED(*status) && WSTOPSIG(*status) != SIGTRAP && WSTOPSIG(*status) != SIGSTOP
                ? WSTOPSIG(*status)
                : 0;
        ptrace(PTRACE_SYSCALL, child, NULL, (void *)(uintptr_t)signal);
        assert_int_equal(waitpid(child, status, 0), child);
        if (!WIFSTOPPED(*status))
            return false;
    }
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, status, 0), child);
    return true;
}

static void test_killed_while_loading(void **state)
{
    for (enum how how = PLAIN; how < HOWS; how++) {
        uint32_t steps = 3, kills = 0;
        int status;
        for (; kill_at(how, steps, &status); steps += 7) {
            kills++;
            assert_int_equal(end_of(start_load(&subject, how)), RIGHT);
            clear();
        }
        if (WIFEXITED(status) && WEXITSTATUS(status) == 97)
            skip();
        assert_int_equal(status, RIGHT);
        assert_true(kills >= 10);
        clear();
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_changed_bytes),
        TEST(test_forged_note),
        TEST(test_forged_and_trusted),
        TEST(test_replaced),
        TEST(test_copied),
        TEST(test_other_things),
        TEST(test_hostile_index),
        TEST(test_no_cache_at_all),
        TEST(test_image_changes),
        TEST(test_all_at_once),
        TEST(test_killed_while_loading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
