/*
 * What the tests of data sections share: sections of a file or of a memfd, and views of them.
 */
#ifndef TESTS_DATA_TEST_H
#define TESTS_DATA_TEST_H

#include <fcntl.h>

#include "loader/mm/data.h"
#include "tests/unit/mm_test.h"
#include "tests/unit/tempdir.h"

/* A fresh file in the temporary directory; byte n is n / 4096 + 1, so every page tells itself. */
static inline int data_file(const char *name, uint64_t size)
{
    int fd = open(tempdir_path(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    for (uint64_t at = 0; at < size; at += TEST_PAGE) {
        uint8_t page[TEST_PAGE];
        uint64_t count = size - at < TEST_PAGE ? size - at : TEST_PAGE;

        memset(page, (int)(at / TEST_PAGE + 1), sizeof(page));
        assert_int_equal(pwrite(fd, page, (size_t)count, (off_t)at), (ssize_t)count);
    }
    return fd;
}

/* A section over all of `fd`, which is closed. */
static inline struct mm_data *data_of_file(int fd, uint64_t size, uint32_t protect)
{
    struct mm_data_source source = {.fd = fd,
                                    .size = size,
                                    .protect = protect,
                                    .attributes = SEC_COMMIT,
                                    .name = "/tmp/some.file"};
    struct pe_error err = {0};
    struct mm_data *data = NULL;

    if (!nt_ok(mm_data_create(&source, &data, &err)))
        fail_msg("%s", err.text);
    close(fd);
    return data;
}

/* A section of the paging file; `commit` NULL unless it is reserved. */
static inline struct mm_data *data_of_memory(uint64_t size, uint32_t protect, uint32_t attributes,
                                             uint32_t *commit)
{
    struct mm_data_source source = {.size = size,
                                    .protect = protect,
                                    .attributes = attributes,
                                    .paging_file = true,
                                    .commit = commit};
    struct pe_error err = {0};
    struct mm_data *data = NULL;

    assert_status(mm_host_memory("peldr:test", size, false, &source.fd, NULL), STATUS_SUCCESS);
    if (!nt_ok(mm_data_create(&source, &data, &err)))
        fail_msg("%s", err.text);
    close(source.fd);
    return data;
}

static inline nt_status data_try(struct mm_data *data, uint32_t protect, uint64_t offset,
                                 uint64_t size, uint64_t *base)
{
    struct mm_data_map how = {.protect = protect, .offset = offset, .size = size};
    struct pe_error err = {0};
    uint64_t mapped;
    nt_status status = mm_data_map(data, &how, base, &mapped, &err);

    assert_int_equal(nt_ok(status), err.text[0] == '\0');
    return status;
}

/* A view of [offset, offset + size), size 0 = to the end. */
static inline uint8_t *data_view(struct mm_data *data, uint32_t protect, uint64_t offset,
                                 uint64_t size)
{
    struct mm_data_map how = {.protect = protect, .offset = offset, .size = size};
    struct pe_error err = {0};
    uint64_t base, mapped;

    if (!nt_ok(mm_data_map(data, &how, &base, &mapped, &err)))
        fail_msg("%s", err.text);
    assert_int_equal(base % 0x10000, 0);
    assert_int_equal(mapped % TEST_PAGE, 0);
    return test_ptr(base);
}

static inline void data_unmap(const void *view)
{
    assert_status(mm_unmap_view(test_address(view), NULL), STATUS_SUCCESS);
}

static inline nt_status data_protect(const void *at, uint64_t size, uint32_t protect, uint32_t *old)
{
    uint64_t base = test_address(at);

    return mm_protect(&base, &size, protect, old, NULL);
}

static inline nt_status data_commit(const void *at, uint64_t size, uint32_t protect)
{
    uint64_t base = test_address(at);
    struct pe_error err = {0};
    nt_status status = mm_alloc(&base, &size, MEM_COMMIT, protect, &err);

    assert_int_equal(nt_ok(status), err.text[0] == '\0');
    return status;
}

static inline int data_setup(void **state)
{
    return tempdir_create();
}

static inline int data_teardown(void **state)
{
    return tempdir_remove();
}

#endif
