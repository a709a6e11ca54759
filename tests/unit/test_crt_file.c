/*
 * Files of the C runtime: text and binary mode, positions, descriptors, _stat, searches, temporary
 * files, and the FILE objects that images look into.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "crt_function.h"
#include "loader/ke/ke.h"
#include "loader/win32/crt/data.h"
#include "loader/win32/crt/fd.h"
#include "loader/win32/crt/stream.h"
#include "loader/win32/win32.h"
#include "tempdir.h"

static struct crt_file *open_file(const char *name, const char *mode)
{
    FUNCTION(crt_stdio_family, fopen, struct crt_file *, (const char *, const char *));
    return fopen_(name, mode);
}

static void close_file(struct crt_file *file)
{
    FUNCTION(crt_stdio_family, fclose, int, (struct crt_file *));
    assert_int_equal(fclose_(file), 0);
}

/* What is really in the file. */
static void assert_content(const char *name, const char *expected, size_t size)
{
    char content[256];
    FILE *file = fopen(name, "rb");
    assert_non_null(file);
    size_t got = fread(content, 1, sizeof(content), file);
    fclose(file);
    assert_int_equal(got, size);
    assert_memory_equal(content, expected, size);
}

static void text_mode(void **state)
{
    FUNCTION(crt_stdio_family, fputs, int, (const char *, struct crt_file *));
    FUNCTION(crt_stdio_family, fgets, char *, (char *, int, struct crt_file *));
    FUNCTION(crt_stdio_family, feof, int, (struct crt_file *));
    FUNCTION(crt_stdio_family, ftell, int32_t, (struct crt_file *));
    FUNCTION(crt_stdio_family, fseek, int, (struct crt_file *, int32_t, int));
    char line[32];
    struct crt_file *file = open_file("text.txt", "w");
    assert_non_null(file);
    assert_int_equal(fputs_("one\ntwo\r\n\n", file), 0);
    close_file(file);
    assert_content("text.txt", "one\r\ntwo\r\r\n\r\n", 13);
    file = open_file("text.txt", "r");
    assert_string_equal(fgets_(line, 32, file), "one\n");
    assert_int_equal(ftell_(file), 5); /* positions count bytes of the file */
    assert_string_equal(fgets_(line, 32, file), "two\r\n");
    assert_string_equal(fgets_(line, 32, file), "\n");
    assert_int_equal(file->flag & CRT_FILE_EOF, 0);
    assert_null(fgets_(line, 32, file));
    assert_true(feof_(file));
    assert_true(file->flag & CRT_FILE_EOF); /* the feof() macro of msvcrt's headers */
    assert_int_equal(fseek_(file, 0, SEEK_SET), 0);
    assert_int_equal(file->flag & CRT_FILE_EOF, 0);
    assert_string_equal(fgets_(line, 3, file), "on");
    close_file(file);
}

static void binary_mode(void **state)
{
    FUNCTION(crt_stdio_family, fwrite, size_t, (const void *, size_t, size_t, struct crt_file *));
    FUNCTION(crt_stdio_family, fread, size_t, (void *, size_t, size_t, struct crt_file *));
    FUNCTION(crt_stdio_family, ungetc, int, (int, struct crt_file *));
    FUNCTION(crt_stdio_family, fgetc, int, (struct crt_file *));
    char content[8];
    struct crt_file *file = open_file("binary.bin", "w+b");
    assert_int_equal(fwrite_("a\nb\r\n\x1A!", 1, 7, file), 7);
    FUNCTION(crt_stdio_family, rewind, void, (struct crt_file *));
    rewind_(file);
    assert_int_equal(fread_(content, 2, 4, file), 3); /* three whole items of two bytes */
    assert_memory_equal(content, "a\nb\r\n\x1A", 6);
    rewind_(file);
    assert_int_equal(fgetc_(file), 'a');
    assert_int_equal(ungetc_('z', file), 'z');
    assert_int_equal(fgetc_(file), 'z');
    assert_int_equal(fgetc_(file), '\n');
    close_file(file);
    assert_content("binary.bin", "a\nb\r\n\x1A!", 7);
}

static void control_z(void **state)
{
    FUNCTION(crt_stdio_family, fgetc, int, (struct crt_file *));
    tempdir_write("z.txt", "a\x1A!", 3);
    struct crt_file *file = open_file("z.txt", "r");
    assert_int_equal(fgetc_(file), 'a');
    assert_int_equal(fgetc_(file), -1);
    assert_int_equal(fgetc_(file), -1);
    close_file(file);
}

static void opening(void **state)
{
    FUNCTION(crt_stdio_family, fputs, int, (const char *, struct crt_file *));
    assert_null(open_file("missing.txt", "r"));
    assert_int_equal(crt_thread()->error, CRT_ENOENT);
    assert_null(open_file("no/such/dir.txt", "w"));
    assert_int_equal(crt_thread()->error, CRT_ENOENT);
    assert_null(open_file("x", "q"));
    assert_int_equal(crt_thread()->error, CRT_EINVAL);
    tempdir_write("append.txt", "1", 1);
    struct crt_file *file = open_file("APPEND.txt", "ab"); /* case does not matter */
    assert_non_null(file);
    fputs_("23", file);
    close_file(file);
    assert_content("append.txt", "123", 3);
}

static void reopening(void **state)
{
    FUNCTION(crt_stdio_family, freopen, struct crt_file *,
             (const char *, const char *, struct crt_file *));
    FUNCTION(crt_stdio_family, fputs, int, (const char *, struct crt_file *));
    struct crt_file *file = open_file("first.txt", "wb");
    int fd = file->fd;
    fputs_("1", file);
    assert_ptr_equal(freopen_("second.txt", "wb", file), file);
    assert_int_equal(file->fd, fd);
    fputs_("2", file);
    close_file(file);
    assert_content("first.txt", "1", 1);
    assert_content("second.txt", "2", 1);
}

static void wide_text(void **state)
{
    FUNCTION(crt_wstdio_family, fputwc, crt_wchar, (crt_wchar, struct crt_file *));
    FUNCTION(crt_wstdio_family, fgetwc, crt_wchar, (struct crt_file *));
    struct crt_file *file = open_file("wide.txt", "w, ccs=UTF-8");
    assert_int_equal(fputwc_(0x20AC, file), 0x20AC);
    close_file(file);
    assert_content("wide.txt", "\xE2\x82\xAC", 3);
    file = open_file("wide.bin", "wb"); /* binary: the units themselves */
    assert_int_equal(fputwc_(0x20AC, file), 0x20AC);
    close_file(file);
    assert_content("wide.bin", "\xAC\x20", 2);
    file = open_file("wide.bin", "rb");
    assert_int_equal(fgetwc_(file), 0x20AC);
    assert_int_equal(fgetwc_(file), 0xFFFF);
    close_file(file);
    file = open_file("wide.txt", "w"); /* text in the "C" locale: bytes are characters */
    assert_int_equal(fputwc_(0xE9, file), 0xE9);
    assert_int_equal(fputwc_(0x20AC, file), 0xFFFF);
    close_file(file);
    assert_content("wide.txt", "\xE9", 1);
}

static void descriptors(void **state)
{
    FUNCTION(crt_lowio_family, _open, int, (const char *, int, int));
    FUNCTION(crt_lowio_family, _write, int, (int, const void *, unsigned));
    FUNCTION(crt_lowio_family, _read, int, (int, void *, unsigned));
    FUNCTION(crt_lowio_family, _lseeki64, int64_t, (int, int64_t, int));
    FUNCTION(crt_lowio_family, _close, int, (int));
    FUNCTION(crt_lowio_family, _dup2, int, (int, int));
    FUNCTION(crt_lowio_family, _setmode, int, (int, int));
    FUNCTION(crt_lowio_family, _chsize, int, (int, int32_t));
    FUNCTION(crt_lowio_family, _filelength, int32_t, (int));
    FUNCTION(crt_lowio_family, _get_osfhandle, intptr_t, (int));
    char buffer[16] = "";
    int fd = _open_("fd.txt", CRT_O_RDWR | CRT_O_CREAT | CRT_O_TRUNC | CRT_O_TEXT, 0x180);
    assert_true(fd >= 3);
    assert_int_equal(_write_(fd, "a\nb", 3), 3); /* what the caller gave, not what was written */
    assert_int_equal(_filelength_(fd), 4);
    assert_int_equal(_lseeki64_(fd, 0, SEEK_SET), 0);
    assert_int_equal(_read_(fd, buffer, 2), 2); /* "a" and \r\n, which is one character */
    assert_memory_equal(buffer, "a\n", 2);
    assert_int_equal(_setmode_(fd, CRT_O_BINARY), CRT_O_TEXT);
    assert_int_equal(_lseeki64_(fd, 1, SEEK_SET), 1);
    assert_int_equal(_read_(fd, buffer, 16), 3);
    assert_memory_equal(buffer, "\r\nb", 3);
    assert_int_equal(_chsize_(fd, 2), 0);
    assert_int_equal(_filelength_(fd), 2);
    assert_int_equal(_dup2_(fd, 40), 0);
    assert_int_equal(_close_(fd), 0);
    assert_int_equal(_write_(40, "!", 1), 1);
    assert_true(_get_osfhandle_(40) != -1);
    assert_int_equal(_close_(40), 0);
    assert_int_equal(_close_(40), -1);
    assert_int_equal(crt_thread()->error, CRT_EBADF);
    assert_int_equal(_get_osfhandle_(40), -1);
    /* The mode binds, whatever the host's descriptor could do. */
    fd = _open_("fd.txt", CRT_O_WRONLY, 0);
    assert_int_equal(_read_(fd, buffer, 1), -1);
    assert_int_equal(crt_thread()->error, CRT_EBADF);
    assert_int_equal(_close_(fd), 0);
    fd = _open_("fd.txt", 0, 0);
    assert_int_equal(_write_(fd, "!", 1), -1);
    assert_int_equal(crt_thread()->error, CRT_EBADF);
    assert_int_equal(_chsize_(fd, 1), -1);
    assert_int_equal(crt_thread()->error, CRT_EBADF);
    assert_int_equal(_close_(fd), 0);
    assert_int_equal(_open_("fd.txt", CRT_O_WRONLY | CRT_O_CREAT | CRT_O_EXCL, 0x180), -1);
    assert_int_equal(crt_thread()->error, CRT_EEXIST);
}

static void status(void **state)
{
    FUNCTION(crt_stat_family, _stat64, int, (const char *, void *));
    FUNCTION(crt_stat_family, _stat32, int, (const char *, void *));
    FUNCTION(crt_fileops_family, _access, int, (const char *, int));
    FUNCTION(crt_fileops_family, _chmod, int, (const char *, int));
    unsigned char st[64];
    uint16_t mode;
    uint64_t size;
    uint32_t size32;
    tempdir_write("stat.txt", "12345", 5);
    assert_int_equal(_stat64_("stat.txt", st), 0);
    memcpy(&mode, st + 6, 2);
    memcpy(&size, st + 24, 8);
    assert_int_equal(mode, 0x8000 | 0666);
    assert_int_equal(size, 5);
    memset(st, 0xCC, sizeof(st));
    assert_int_equal(_stat32_(".", st), 0);
    memcpy(&mode, st + 6, 2);
    memcpy(&size32, st + 20, 4);
    assert_int_equal(mode, 0x4000 | 0777);
    assert_int_equal(size32, 0);
    assert_int_equal(st[36], 0xCC); /* not a byte more than the struct has */
    assert_int_equal(_stat64_("missing", st), -1);
    assert_int_equal(crt_thread()->error, CRT_ENOENT);
    assert_int_equal(_access_("stat.txt", 6), 0);
    assert_int_equal(_chmod_("stat.txt", 0x100), 0); /* _S_IREAD: the read-only attribute */
    assert_int_equal(_stat64_("stat.txt", st), 0);
    memcpy(&mode, st + 6, 2);
    assert_int_equal(mode, 0x8000 | 0444);
    assert_int_equal(_access_("missing", 0), -1);
}

static void names(void **state)
{
    FUNCTION(crt_path_family, _splitpath, void, (const char *, char *, char *, char *, char *));
    FUNCTION(crt_path_family, _makepath, void,
             (char *, const char *, const char *, const char *, const char *));
    FUNCTION(crt_path_family, _fullpath, char *, (char *, const char *, size_t));
    FUNCTION(crt_fileops_family, rename, int, (const char *, const char *));
    FUNCTION(crt_fileops_family, remove, int, (const char *));
    char drive[3], dir[256], name[256], extension[256], path[260];
    _splitpath_("C:\\a.b/c\\d.tar.gz", drive, dir, name, extension);
    assert_string_equal(drive, "C:");
    assert_string_equal(dir, "\\a.b/c\\");
    assert_string_equal(name, "d.tar");
    assert_string_equal(extension, ".gz");
    _splitpath_("plain", drive, dir, name, extension);
    assert_string_equal(drive, "");
    assert_string_equal(dir, "");
    assert_string_equal(name, "plain");
    assert_string_equal(extension, "");
    _makepath_(path, "z", "\\x", "y", "txt");
    assert_string_equal(path, "z:\\x\\y.txt");
    assert_non_null(_fullpath_(path, "a\\..\\b.txt", sizeof(path)));
    assert_string_equal(strrchr(path, '\\'), "\\b.txt");
    assert_int_equal(path[1], ':');
    assert_null(_fullpath_(path, "b.txt", 5));
    tempdir_write("from.txt", "f", 1);
    tempdir_write("to.txt", "t", 1);
    assert_int_equal(rename_("from.txt", "to.txt"), -1); /* Windows does not replace */
    assert_int_equal(crt_thread()->error, CRT_EEXIST);
    assert_int_equal(remove_("to.txt"), 0);
    assert_int_equal(rename_("from.txt", "to.txt"), 0);
    assert_content("to.txt", "f", 1);
}

static void searches(void **state)
{
    struct {
        uint32_t attributes;
        int64_t times[3] __attribute__((aligned(8)));
        int64_t size;
        char name[260];
    } data;
    FUNCTION(crt_dir_family, _findfirst64, intptr_t, (const char *, void *));
    FUNCTION(crt_dir_family, _findnext64, int, (intptr_t, void *));
    FUNCTION(crt_dir_family, _findclose, int, (intptr_t));
    tempdir_write("find1.dat", "1", 1);
    tempdir_write("find2.dat", "22", 2);
    intptr_t search = _findfirst64_("FIND?.dat", &data);
    assert_true(search != -1);
    assert_string_equal(data.name, "find1.dat");
    assert_int_equal(data.size, 1);
    assert_true(data.times[2] > 1600000000);
    assert_int_equal(_findnext64_(search, &data), 0);
    assert_string_equal(data.name, "find2.dat");
    assert_int_equal(_findnext64_(search, &data), -1);
    assert_int_equal(crt_thread()->error, CRT_ENOENT);
    assert_int_equal(_findclose_(search), 0);
    assert_int_equal(_findfirst64_("*.none", &data), -1);
}

static void temporary(void **state)
{
    FUNCTION(crt_stdio_family, tmpfile, struct crt_file *, (void));
    FUNCTION(crt_stdio_family, fputs, int, (const char *, struct crt_file *));
    FUNCTION(crt_stdio_family, rewind, void, (struct crt_file *));
    FUNCTION(crt_stdio_family, fgets, char *, (char *, int, struct crt_file *));
    char line[16];
    struct crt_file *file = tmpfile_();
    assert_non_null(file);
    fputs_("gone", file);
    rewind_(file);
    assert_string_equal(fgets_(line, 16, file), "gone");
    close_file(file);
}

static void environment(void **state)
{
    FUNCTION(crt_environment_family, _putenv, int, (const char *));
    FUNCTION(crt_environment_family, getenv, char *, (const char *));
    FUNCTION(crt_environment_family, getenv_s, int, (size_t *, char *, size_t, const char *));
    size_t needed;
    char value[8];
    /* what was there at the start can be replaced and removed */
    assert_string_equal(getenv_("CRT_TEST_INHERITED"), "from the host");
    assert_int_equal(_putenv_("CRT_TEST_INHERITED=here"), 0);
    assert_string_equal(getenv_("CRT_TEST_INHERITED"), "here");
    assert_int_equal(_putenv_("CRT_TEST_INHERITED="), 0);
    assert_null(getenv_("CRT_TEST_INHERITED"));
    assert_null(getenv_("CRT_TEST_VARIABLE"));
    assert_int_equal(_putenv_("CRT_TEST_VARIABLE=one"), 0);
    assert_string_equal(getenv_("crt_test_VARIABLE"), "one"); /* names have no case */
    assert_int_equal(_putenv_("crt_test_variable=two"), 0);
    assert_string_equal(getenv_("CRT_TEST_VARIABLE"), "two");
    assert_int_equal(getenv_s_(&needed, value, 8, "CRT_TEST_VARIABLE"), 0);
    assert_int_equal(needed, 4);
    assert_string_equal(value, "two");
    assert_int_equal(getenv_s_(&needed, value, 3, "CRT_TEST_VARIABLE"), CRT_ERANGE);
    assert_int_equal(_putenv_("CRT_TEST_VARIABLE="), 0);
    assert_null(getenv_("CRT_TEST_VARIABLE"));
    assert_int_equal(_putenv_("=x"), -1);
    assert_int_equal(_putenv_("novalue"), -1);
    /* a hundred more: the arrays grow, _environ stays a valid list that ends in NULL */
    for (int i = 0; i < 100; i++) {
        char assignment[32];
        snprintf(assignment, sizeof(assignment), "CRT_TEST_%d=%d", i, i);
        assert_int_equal(_putenv_(assignment), 0);
    }
    assert_string_equal(getenv_("CRT_TEST_99"), "99");
    int count = 0;
    while ((*crt_data.environment)[count] != NULL) {
        count++;
    }
    assert_true(count >= 100);
}

static int set_up(void **state)
{
    setenv("CRT_TEST_INHERITED", "from the host", 1);
    if (!nt_ok(ke_process_init(NULL)) || !nt_ok(ke_thread_attach(NULL))) {
        return -1;
    }
    win32_register();
    crt_data_attach_ucrt();
    return tempdir_create() == 0 ? chdir(tempdir) : -1;
}

static int tear_down(void **state)
{
    return chdir("/") == 0 ? tempdir_remove() : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_mode),   cmocka_unit_test(binary_mode), cmocka_unit_test(control_z),
        cmocka_unit_test(opening),     cmocka_unit_test(reopening),   cmocka_unit_test(wide_text),
        cmocka_unit_test(descriptors), cmocka_unit_test(status),      cmocka_unit_test(names),
        cmocka_unit_test(searches),    cmocka_unit_test(temporary),   cmocka_unit_test(environment),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
