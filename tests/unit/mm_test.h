/*
 * What the tests of the memory manager share: sections from built images, and probes that ask the
 * kernel, not mm/, what can be done with a page.
 */
#ifndef TESTS_MM_TEST_H
#define TESTS_MM_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "loader/mm/view.h"
#include "tests/pebuild.h"

#define TEST_PAGE 0x1000u

/* AddressSanitizer's shadow covers the default bases of PE32+ images, so those have to move. */
#if defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#ifndef TEST_ASAN
#define TEST_ASAN 0
#endif

#if UINTPTR_MAX > 0xFFFFFFFFu
#define TEST_64_BIT 1
#else
#define TEST_64_BIT 0
#endif

/* cmocka compares signed words; NTSTATUS values have 32 bits. */
#define assert_status(actual, expected) assert_int_equal((nt_status)(actual), (nt_status)(expected))

static inline void *test_ptr(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

static inline uint8_t *test_at(const struct mm_view *view, uint32_t rva)
{
    return test_ptr(mm_view_base(view) + rva);
}

static inline uint64_t test_address(const void *p)
{
    return (uint64_t)(uintptr_t)p;
}

/* A section object of what the builder holds; the builder is freed. */
static inline struct mm_section *test_section(struct pebuild *b)
{
    struct pe_error err = {0};
    struct mm_section *section = NULL;
    uint64_t size;
    uint8_t *bytes = pebuild_finish(b, &size);
    nt_status status =
        mm_section_create_image_from_memory(bytes, size, "test.dll", PE_WINDOWS_10, &section, &err);

    free(bytes);
    if (!nt_ok(status))
        fail_msg("%s", err.text);
    return section;
}

/* A view at the wanted base or elsewhere, still open. */
static inline struct mm_view *test_map(struct mm_section *section, uint64_t base)
{
    struct mm_map_options options = {.base = base, .shared_fd = -1};
    struct pe_error err = {0};
    struct mm_view *view = NULL;

    if (!nt_ok(mm_view_map(section, &options, &view, NULL, 0, &err)))
        fail_msg("%s", err.text);
    return view;
}

static inline void test_seal(struct mm_view *view)
{
    struct pe_error err = {0};

    if (!nt_ok(mm_view_seal(view, &err)))
        fail_msg("%s", err.text);
}

/* Can the kernel read a byte there? */
static inline bool test_readable(const void *at)
{
    int ends[2];
    bool ok;

    assert_int_equal(pipe(ends), 0);
    ok = write(ends[1], at, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    return ok;
}

/* Can the kernel write there? Leaves the byte as it was, in a private copy where there can be one.
 */
static inline bool test_writable(void *at)
{
    int ends[2];
    bool ok;

    assert_int_equal(pipe(ends), 0);
    ok = write(ends[1], at, 1) == 1 && read(ends[0], at, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    return ok;
}

/* "r-xp" of the mapping that holds the address; "" when there is none. */
static inline const char *test_permissions(uint64_t address)
{
    static char perms[8];
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");

    perms[0] = '\0';
    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
        unsigned long long start, end;
        char found[8];

        if (sscanf(line, "%llx-%llx %7s", &start, &end, found) == 3 && start <= address &&
            address < end)
            strcpy(perms, found);
    }
    if (maps != NULL)
        fclose(maps);
    return perms;
}

/* Mappings of this process; under AddressSanitizer, which maps memory of its own, those of images.
 */
static inline unsigned test_mapping_count(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned lines = 0;
    char line[512];

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL)
        lines += !TEST_ASAN || strstr(line, "peldr:") != NULL || strstr(line, ".dll") != NULL;
    fclose(maps);
    return lines;
}

static inline unsigned test_fd_count(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static inline struct mm_region test_query(uint64_t address)
{
    struct mm_region region;

    assert_int_equal(mm_query(address, &region), STATUS_SUCCESS);
    return region;
}

/* VirtualQuery's protection of the page at an RVA. */
static inline uint32_t test_protect_of(const struct mm_view *view, uint32_t rva)
{
    return test_query(mm_view_base(view) + rva).protect;
}

#endif
