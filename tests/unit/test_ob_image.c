/*
 * The backing of an image file's SHARED PE sections: its content comes from the image, and the
 * file's identity decides who shares it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "loader/ob/backing.h"
#include "tests/pebuild.h"

static char runtime[64], image_path[128], copy_path[128];

static struct pebuild *builder(uint32_t shared)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL | (sizeof(void *) == 8 ? PEBUILD_PE32_PLUS : 0));
    pebuild_section(b, ".data", PEBUILD_DATA, "private", 8, 0);
    pebuild_section(b, "Shared", PEBUILD_DATA | shared, "initial", 8, 0);
    return b;
}

static int set_up(void **state)
{
    strcpy(runtime, "/tmp/peldr-test-XXXXXX");
    if (!mkdtemp(runtime) || setenv("XDG_RUNTIME_DIR", runtime, 1) != 0)
        return -1;
    snprintf(image_path, sizeof image_path, "%s/a.dll", runtime);
    snprintf(copy_path, sizeof copy_path, "%s/b.dll", runtime);
    return pebuild_finish_file(builder(IMAGE_SCN_MEM_SHARED), image_path) &&
                   pebuild_finish_file(builder(IMAGE_SCN_MEM_SHARED), copy_path)
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    char path[128];
    unlink(image_path);
    unlink(copy_path);
    snprintf(path, sizeof path, "%s/peldr", runtime);
    rmdir(path); /* fails, and so does the next, when a backing was left behind */
    return rmdir(runtime);
}

static struct mm_section *open_section(const char *path)
{
    struct mm_section *section = NULL;
    struct pe_error err = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    if (!nt_ok(mm_section_create_image(fd, path, PE_WINDOWS_10, &section, &err)))
        fail_msg("%s", err.text);
    close(fd);
    return section;
}

static struct ob_backing *open_backing(struct mm_section *section, bool *created)
{
    struct ob_backing *backing = NULL;
    struct pe_error err = {0};
    if (!nt_ok(ob_backing_open_image(section, &backing, created, &err)))
        fail_msg("%s", err.text);
    return backing;
}

/* Where the Shared PE section lies in the backing. */
static off_t shared_offset(const struct mm_section *section)
{
    uint32_t count;
    const struct mm_extent *extents = mm_section_extents(section, &count);
    for (uint32_t i = 0; i < count; i++)
        if (extents[i].source == MM_SOURCE_SHARED)
            return (off_t)extents[i].offset;
    fail_msg("the image has no SHARED extent");
    return 0;
}

static void assert_content(const struct mm_section *section, const struct ob_backing *backing,
                           const char *expected)
{
    char content[8] = "";
    assert_int_equal(pread(ob_backing_fd(backing), content, 8, shared_offset(section)), 8);
    assert_string_equal(content, expected);
}

static void test_content_is_the_images_and_shared(void **state)
{
    struct mm_section *first = open_section(image_path), *second = open_section(image_path);
    bool created = false;
    struct ob_backing *a = open_backing(first, &created);
    assert_true(created);
    assert_content(first, a, "initial");
    assert_int_equal(pwrite(ob_backing_fd(a), "changed", 8, shared_offset(first)), 8);

    struct ob_backing *b = open_backing(second, &created);
    assert_false(created);
    assert_content(second, b, "changed");
    ob_backing_close(a);
    ob_backing_close(b);
    a = open_backing(first, &created);
    assert_true(created);
    assert_content(first, a, "initial");
    ob_backing_close(a);
    mm_section_unref(first);
    mm_section_unref(second);
}

static void test_identity_is_the_files(void **state)
{
    struct mm_section *image = open_section(image_path), *copy = open_section(copy_path);
    bool created = false;
    struct ob_backing *a = open_backing(image, NULL);
    struct ob_backing *b = open_backing(copy, &created);
    assert_true(created); /* equal bytes, another file */
    ob_backing_close(b);
    mm_section_unref(copy);

    unlink(copy_path);
    assert_int_equal(link(image_path, copy_path), 0);
    copy = open_section(copy_path);
    b = open_backing(copy, &created);
    assert_false(created); /* another name, the same file */
    ob_backing_close(b);
    mm_section_unref(copy);

    const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    assert_int_equal(utimensat(AT_FDCWD, image_path, times, 0), 0);
    copy = open_section(image_path);
    b = open_backing(copy, &created);
    assert_true(created); /* written to in between: another image */
    ob_backing_close(b);
    mm_section_unref(copy);
    ob_backing_close(a);
    mm_section_unref(image);
}

static void test_what_cannot_be_shared(void **state)
{
    struct mm_section *section = NULL;
    struct ob_backing *backing = NULL;
    struct pe_error err = {0};
    uint64_t size;
    uint8_t *bytes = pebuild_finish(builder(IMAGE_SCN_MEM_SHARED), &size);
    assert_int_equal(
        mm_section_create_image_from_memory(bytes, size, "m.dll", PE_WINDOWS_10, &section, NULL),
        STATUS_SUCCESS);
    assert_int_equal(ob_backing_open_image(section, &backing, NULL, &err),
                     (nt_status)STATUS_NOT_SUPPORTED);
    assert_non_null(strstr(err.text, "memory"));
    mm_section_unref(section);
    free(bytes);

    assert_true(pebuild_finish_file(builder(0), copy_path));
    section = open_section(copy_path);
    assert_int_equal(ob_backing_open_image(section, &backing, NULL, NULL),
                     (nt_status)STATUS_INVALID_PARAMETER);
    mm_section_unref(section);
    assert_null(backing);
}

#define IMAGE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IMAGE_TEST(test_content_is_the_images_and_shared),
        IMAGE_TEST(test_identity_is_the_files),
        IMAGE_TEST(test_what_cannot_be_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
