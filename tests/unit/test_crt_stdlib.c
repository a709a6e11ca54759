/*
 * Sorting, arithmetic, memory, time, locale conversions and the command line of the C runtime.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crt_function.h"
#include "loader/win32/crt/internal.h"
#include "loader/win32/crt/startup.h"

static unsigned comparisons;

static WINCDECL_DEF int by_value(const void *a, const void *b)
{
    comparisons++;
    return *(const int *)a - *(const int *)b;
}

static WINCDECL_DEF int by_context(void *context, const void *a, const void *b)
{
    return *(int *)context * (*(const int *)a - *(const int *)b);
}

/* A comparison function that contradicts itself must not make the sort run away. */
static WINCDECL_DEF int by_chance(const void *a, const void *b)
{
    comparisons++;
    return rand() % 3 - 1;
}

static void sorting(void **state)
{
    FUNCTION(crt_sort_family, qsort, void,
             (void *, size_t, size_t, int(WINCDECL *)(const void *, const void *)));
    FUNCTION(crt_sort_family, qsort_s, void,
             (void *, size_t, size_t, int(WINCDECL *)(void *, const void *, const void *), void *));
    FUNCTION(
        crt_sort_family, bsearch, void *,
        (const void *, const void *, size_t, size_t, int(WINCDECL *)(const void *, const void *)));
    enum { COUNT = 1000 };
    int values[COUNT], descending = -1;
    for (int i = 0; i < COUNT; i++) {
        values[i] = (int)((unsigned)i * 7919u % COUNT);
    }
    qsort_(values, COUNT, sizeof(int), by_value);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(values[i], i);
    }
    int key = 123, missing = COUNT;
    assert_ptr_equal(bsearch_(&key, values, COUNT, sizeof(int), by_value), &values[123]);
    assert_null(bsearch_(&missing, values, COUNT, sizeof(int), by_value));
    qsort_s_(values, COUNT, sizeof(int), by_context, &descending);
    assert_int_equal(values[0], COUNT - 1);
    assert_int_equal(values[COUNT - 1], 0);
    comparisons = 0;
    qsort_(values, COUNT, sizeof(int), by_chance);
    assert_in_range(comparisons, 1, 40 * COUNT);
    qsort_(values, 0, sizeof(int), by_value);
}

static void arithmetic(void **state)
{
    FUNCTION(crt_arith_family, srand, void, (unsigned));
    FUNCTION(crt_arith_family, rand, int, (void));
    FUNCTION(crt_arith_family, div, uint64_t, (int, int));
    FUNCTION(crt_arith_family, _rotl, uint32_t, (uint32_t, int));
    assert_int_equal(rand_(), 41); /* without srand(): as after srand(1) */
    srand_(1);
    assert_int_equal(rand_(), 41);
    assert_int_equal(rand_(), 18467);
    assert_int_equal(rand_(), 6334);
    srand_(12345);
    assert_int_equal(rand_(), 7584);
    uint64_t quotient = div_(-7, 2);
    assert_int_equal((int32_t)quotient, -3);
    assert_int_equal((int32_t)(quotient >> 32), -1);
    assert_int_equal(_rotl_(0x80000001u, 1), 3);
    assert_int_equal(_rotl_(5, 0), 5);
}

/* libm, which the first of them loads. */
static void mathematics(void **state)
{
    FUNCTION(crt_math_family, sin, double, (double));
    FUNCTION(crt_math_family, sqrtf, float, (float));
    FUNCTION(crt_math_family, pow, double, (double, double));
    FUNCTION(crt_math_family, fmod, double, (double, double));
    FUNCTION(crt_math_family, floor, double, (double));
    FUNCTION(crt_math_family, frexp, double, (double, int *));
    FUNCTION(crt_math_family, lround, crt_long, (double));
    int exponent = 0;
    double sine = sin_(0.5);
    assert_true(sine > 0.479425538604202 && sine < 0.479425538604204);
    assert_true(sqrtf_(2.25f) == 1.5f);
    assert_true(pow_(3, 4) == 81);
    assert_true(fmod_(-7.5, 2) == -1.5);
    assert_true(floor_(-0.5) == -1);
    assert_true(frexp_(12, &exponent) == 0.75);
    assert_int_equal(exponent, 4);
    assert_int_equal(lround_(2.5), 3);
    assert_int_equal(lround_(1e30), INT32_MIN);
}

static void memory(void **state)
{
    FUNCTION(crt_memory_family, _aligned_malloc, void *, (size_t, size_t));
    FUNCTION(crt_memory_family, _aligned_offset_malloc, void *, (size_t, size_t, size_t));
    FUNCTION(crt_memory_family, _aligned_realloc, void *, (void *, size_t, size_t));
    FUNCTION(crt_memory_family, _aligned_free, void, (void *));
    FUNCTION(crt_memory_family, realloc, void *, (void *, size_t));
    FUNCTION(crt_memory_family, malloc, void *, (size_t));
    FUNCTION(crt_memory_family, _msize, size_t, (void *));
    FUNCTION(crt_memory_family, memcpy_s, int, (void *, size_t, const void *, size_t));
    char *block = _aligned_malloc_(100, 256);
    assert_int_equal((uintptr_t)block % 256, 0);
    memset(block, 7, 100);
    block = _aligned_realloc_(block, 5000, 1024);
    assert_int_equal((uintptr_t)block % 1024, 0);
    assert_int_equal(block[99], 7);
    _aligned_free_(block);
    block = _aligned_offset_malloc_(100, 64, 8);
    assert_int_equal(((uintptr_t)block + 8) % 64, 0);
    _aligned_free_(block);
    assert_null(_aligned_malloc_(100, 3));
    char *plain = malloc_(10);
    assert_true(_msize_(plain) >= 10);
    assert_null(realloc_(plain, 0)); /* frees */
    char out[4] = "abc";
    assert_int_equal(memcpy_s_(out, 4, "xy", 2), 0);
    assert_string_equal(out, "xyc");
    assert_int_equal(memcpy_s_(out, 4, "12345", 5), CRT_ERANGE);
    assert_memory_equal(out, "\0\0\0\0", 4);
}

static void time_functions(void **state)
{
    FUNCTION(crt_time_family, _gmtime64, struct crt_tm *, (const int64_t *));
    FUNCTION(crt_time_family, _gmtime32, struct crt_tm *, (const int32_t *));
    FUNCTION(crt_time_family, _mkgmtime64, int64_t, (struct crt_tm *));
    FUNCTION(crt_time_family, asctime, const char *, (const struct crt_tm *));
    FUNCTION(crt_msvcrt_timefmt_family, strftime, size_t,
             (char *, size_t, const char *, const struct crt_tm *));
    int64_t when = 1000000000, before = -1, beyond = INT64_C(0x793407000);
    struct crt_tm *tm = _gmtime64_(&when);
    assert_int_equal(tm->year, 101);
    assert_int_equal(tm->mon, 8);
    assert_int_equal(tm->mday, 9);
    assert_int_equal(tm->hour, 1);
    assert_int_equal(tm->yday, 251);
    assert_string_equal(asctime_(tm), "Sun Sep 09 01:46:40 2001\n");
    struct crt_tm copy = *tm;
    copy.mday += 30; /* normalised */
    assert_true(_mkgmtime64_(&copy) == when + 30 * 86400);
    assert_int_equal(copy.mon, 9);
    assert_null(_gmtime64_(&before));
    assert_null(_gmtime64_(&beyond)); /* the year 3001 */
    int32_t narrow = 0;
    assert_int_equal(_gmtime32_(&narrow)->year, 70);
    tm = _gmtime64_(&when);
    char out[64];
    assert_int_equal(strftime_(out, sizeof(out), "%Y-%m-%d %#d %I%p %j %%", tm), 23);
    assert_string_equal(out, "2001-09-09 9 01AM 252 %");
    strftime_(out, sizeof(out), "%c|%x|%X|%a %B", tm);
    assert_string_equal(out, "09/09/01 01:46:40|09/09/01|01:46:40|Sun September");
    assert_int_equal(strftime_(out, 4, "%Y", tm), 0); /* no room for the NUL */
    assert_int_equal(crt_thread()->error, CRT_ERANGE);
}

static void multibyte(void **state)
{
    FUNCTION(crt_locale_family, setlocale, char *, (int, const char *));
    FUNCTION(crt_locale_family, ___mb_cur_max_func, int, (void));
    FUNCTION(crt_mb_family, mbstowcs, size_t, (crt_wchar *, const char *, size_t));
    FUNCTION(crt_mb_family, wcstombs, size_t, (char *, const crt_wchar *, size_t));
    FUNCTION(crt_mb_family, wctomb, int, (char *, crt_wchar));
    static const crt_wchar smile[] = {0xD83D, 0xDE00, 0};
    crt_wchar wide[8];
    char bytes[8];
    assert_string_equal(setlocale_(0, NULL), "C");
    assert_int_equal(mbstowcs_(wide, "a\xE9", 8), 2);
    assert_int_equal(wide[1], 0xE9);
    assert_int_equal(wctomb_(bytes, 0x20AC), -1);
    assert_non_null(setlocale_(0, ""));
    assert_int_equal(wctomb_(bytes, 0x20AC), 1); /* code page 1252 has the euro sign at 0x80 */
    assert_int_equal((unsigned char)bytes[0], 0x80);
    assert_int_equal(___mb_cur_max_func_(), 1);
    assert_non_null(setlocale_(2, ".UTF8"));
    assert_int_equal(___mb_cur_max_func_(), 4);
    assert_int_equal(wcstombs_(bytes, smile, 8), 4);
    assert_memory_equal(bytes, "\xF0\x9F\x98\x80\0", 5);
    assert_int_equal(mbstowcs_(wide, bytes, 8), 2);
    assert_memory_equal(wide, smile, sizeof(smile));
    assert_int_equal(mbstowcs_(wide, "\xC0\x80", 8), (size_t)-1); /* overlong */
    assert_int_equal(crt_thread()->error, CRT_EILSEQ);
    assert_null(setlocale_(0, "Klingon"));
    assert_string_equal(setlocale_(0, "C"), "C");
}

struct command_line {
    const char *line;
    int argc;
    const char *argv[5];
};

/* Microsoft's table in "Parsing C command-line arguments", and the program's own rules. */
static const struct command_line command_lines[] = {
    {"p \"a b c\" d e", 4, {"p", "a b c", "d", "e"}},
    {"p \"ab\\\"c\" \"\\\\\" d", 4, {"p", "ab\"c", "\\", "d"}},
    {"p a\\\\\\b d\"e f\"g h", 4, {"p", "a\\\\\\b", "de fg", "h"}},
    {"p a\\\\\\\"b c d", 4, {"p", "a\\\"b", "c", "d"}},
    {"p a\\\\\\\\\"b c\" d e", 4, {"p", "a\\\\b c", "d", "e"}},
    {"p a\"b\"\" c d", 2, {"p", "ab\" c d"}},
    {"\"C:\\Program Files\\p.exe\"  x\t\"\" ", 3, {"C:\\Program Files\\p.exe", "x", ""}},
    {"C:\\dir\\\"p q\".exe y", 2, {"C:\\dir\\p q.exe", "y"}},
    {"", 1, {""}},
};

static void command_line(void **state)
{
    for (size_t i = 0; i < CRT_COUNT(command_lines); i++) {
        const struct command_line *c = &command_lines[i];
        crt_wchar *line = crt_widen(c->line, strlen(c->line), NULL);
        int argc = 0;
        crt_wchar **argv = crt_split_command_line(line, &argc);
        assert_int_equal(argc, c->argc);
        for (int k = 0; k < argc; k++) {
            char *argument = crt_narrow(argv[k], crt_wlen(argv[k]), NULL);
            assert_string_equal(argument, c->argv[k]);
            free(argument);
        }
        assert_null(argv[argc]);
        free(argv);
        free(line);
    }
}

static char order[8];

static WINCDECL_DEF void first(void)
{
    strcat(order, "1");
}

static WINCDECL_DEF void second(void)
{
    strcat(order, "2");
}

static void exit_tables(void **state)
{
    struct table {
        void *first, *last, *end;
    } table = {0};
    typedef void(WINCDECL * procedure)(void);
    FUNCTION(crt_exit_family, _initialize_onexit_table, int, (struct table *));
    FUNCTION(crt_exit_family, _register_onexit_function, int, (struct table *, procedure));
    FUNCTION(crt_exit_family, _execute_onexit_table, int, (struct table *));
    FUNCTION(crt_exit_family, __dllonexit, void *, (procedure, procedure **, procedure **));
    FUNCTION(crt_exit_family, _initterm, void, (procedure *, procedure *));
    assert_int_equal(_initialize_onexit_table_(&table), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(_register_onexit_function_(&table, i == 0 ? first : second), 0);
    }
    assert_int_equal(_execute_onexit_table_(&table), 0);
    assert_string_equal(order, "221"); /* last registered, first called */
    assert_int_equal(_execute_onexit_table_(&table), 0);
    assert_string_equal(order, "221");
    procedure *begin = NULL, *end = NULL;
    __dllonexit_(first, &begin, &end);
    __dllonexit_(second, &begin, &end);
    assert_int_equal(end - begin, 2);
    assert_true(begin[1] == second);
    FUNCTION(crt_memory_family, free, void, (void *));
    free_(begin); /* as an image would */
    procedure initializers[] = {first, NULL, second};
    order[0] = 0;
    _initterm_(initializers, initializers + 3);
    assert_string_equal(order, "12");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arithmetic),     cmocka_unit_test(mathematics),
        cmocka_unit_test(sorting),        cmocka_unit_test(memory),
        cmocka_unit_test(time_functions), cmocka_unit_test(multibyte),
        cmocka_unit_test(command_line),   cmocka_unit_test(exit_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
