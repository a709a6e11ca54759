/*
 * The small DLLs: random numbers, the absent registry, command lines, string resources' neighbours,
 * Winsock's start. Values from Microsoft's documentation of each function.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "loader/ke/ke.h"
#include "loader/ldr/ldr.h"
#include "loader/win32/errors.h"
#include "loader/win32/heap.h"
#include "loader/win32/smalldlls.h"
#include "pe/exports.h"
#include "tests/unit/builtin_fn.h"
#include "tests/unit/wide.h"

#define HKEY_LOCAL_MACHINE ((HANDLE)(intptr_t)(int32_t)0x80000002)

FN(ProcessPrng, BOOL, BYTE *buffer, SIZE_T size);
FN(BCryptOpenAlgorithmProvider, LONG, HANDLE *out, const WCHAR *name, const WCHAR *provider,
   ULONG flags);
FN(BCryptCloseAlgorithmProvider, LONG, HANDLE handle, ULONG flags);
FN(BCryptGenRandom, LONG, HANDLE handle, BYTE *buffer, ULONG size, ULONG flags);
FN(SystemFunction036, BOOLEAN, void *buffer, ULONG size);
FN(CryptAcquireContextA, BOOL, void **out, const char *container, const char *provider, DWORD type,
   DWORD flags);
FN(CryptGenRandom, BOOL, void *context, DWORD size, BYTE *buffer);
FN(CryptReleaseContext, BOOL, void *context, DWORD flags);
FN(RegOpenKeyExW, LONG, HANDLE key, const WCHAR *name, DWORD options, DWORD access, HANDLE *out);
FN(RegQueryValueExW, LONG, HANDLE key, const WCHAR *name, DWORD *reserved, DWORD *type, BYTE *data,
   DWORD *size);
FN(RegCloseKey, LONG, HANDLE key);
FN(CommandLineToArgvW, WCHAR **, const WCHAR *line, INT *count);
FN(CharUpperW, WCHAR *, WCHAR *text);
FN(CharLowerA, char *, char *text);
FN(CharUpperBuffA, DWORD, char *text, DWORD length);
FN(WSAStartup, INT, WORD version, void *data);
FN(WSACleanup, INT, void);
FN(WSAGetLastError, INT, void);
FN(htonl, ULONG, ULONG value);
FN(htons, USHORT, USHORT value);
static INT(WINCDECL *wsprintfA)(char *out, const char *format, ...);
static INT(WINCDECL *wsprintfW)(WCHAR *out, const WCHAR *format, ...);

static int load(void **state)
{
    if (!nt_ok(ke_thread_attach(NULL)))
        return -1;
    LOAD_FN(bcryptprimitives, ProcessPrng);
    LOAD_FN(bcrypt, BCryptOpenAlgorithmProvider);
    LOAD_FN(bcrypt, BCryptCloseAlgorithmProvider);
    LOAD_FN(bcrypt, BCryptGenRandom);
    LOAD_FN(advapi32, SystemFunction036);
    LOAD_FN(advapi32, CryptAcquireContextA);
    LOAD_FN(advapi32, CryptGenRandom);
    LOAD_FN(advapi32, CryptReleaseContext);
    LOAD_FN(registry, RegOpenKeyExW);
    LOAD_FN(registry, RegQueryValueExW);
    LOAD_FN(registry, RegCloseKey);
    LOAD_FN(shell32, CommandLineToArgvW);
    LOAD_FN(user32, CharUpperW);
    LOAD_FN(user32, CharLowerA);
    LOAD_FN(user32, CharUpperBuffA);
    LOAD_FN(user32, wsprintfA);
    LOAD_FN(user32, wsprintfW);
    LOAD_FN(ws2_32, WSAStartup);
    LOAD_FN(ws2_32, WSACleanup);
    LOAD_FN(ws2_32, WSAGetLastError);
    LOAD_FN(ws2_32, htonl);
    LOAD_FN(ws2_32, htons);
    return 0;
}

/* ---- random numbers ---- */

static bool all_zero(const BYTE *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i])
            return false;
    return true;
}

static void random_bytes_fill_what_was_asked_and_no_more(void **state)
{
    BYTE bytes[48] = {0};
    assert_true(ProcessPrng(bytes, 32));
    assert_false(all_zero(bytes, 32)); /* 2^-256 */
    assert_true(all_zero(bytes + 32, 16));
    memset(bytes, 0, sizeof(bytes));
    assert_true(SystemFunction036(bytes, 32));
    assert_false(all_zero(bytes, 32));
    assert_true(all_zero(bytes + 32, 16));
}

static void bcrypt_knows_the_generator_only(void **state)
{
    HANDLE rng, other = (HANDLE)1;
    BYTE bytes[32] = {0};
    assert_int_equal(BCryptOpenAlgorithmProvider(&rng, W("RNG"), NULL, 0), 0);
    assert_int_equal(BCryptGenRandom(rng, bytes, sizeof(bytes), 0), 0);
    assert_false(all_zero(bytes, sizeof(bytes)));
    assert_int_equal(BCryptCloseAlgorithmProvider(rng, 0), 0);
    assert_int_equal(BCryptOpenAlgorithmProvider(&other, W("SHA256"), NULL, 0), (LONG)0xC0000225);
    assert_null(other);
    assert_int_equal(BCryptCloseAlgorithmProvider(NULL, 0), (LONG)0xC0000008);
}

static void bcrypt_wants_a_handle_or_the_flag(void **state)
{
    BYTE bytes[32] = {0};
    assert_int_equal(BCryptGenRandom(NULL, bytes, sizeof(bytes), 0), (LONG)0xC0000008);
    assert_true(all_zero(bytes, sizeof(bytes)));
    assert_int_equal(BCryptGenRandom(NULL, bytes, sizeof(bytes), 2), 0);
    assert_false(all_zero(bytes, sizeof(bytes)));
    assert_int_equal(BCryptGenRandom((HANDLE)(uintptr_t)0x81, bytes, sizeof(bytes), 0), 0);
    assert_int_equal(BCryptGenRandom(NULL, NULL, 4, 2), (LONG)0xC000000D);
}

static void a_crypto_context_has_no_keys(void **state)
{
    void *context = NULL;
    BYTE bytes[32] = {0};
    assert_false(CryptAcquireContextA(&context, NULL, NULL, 1, 0));
    assert_int_equal(ke_last_error(), 0x80090016); /* NTE_BAD_KEYSET */
    assert_false(CryptAcquireContextA(&context, NULL, NULL, 0, 0xF0000000));
    assert_int_equal(ke_last_error(), 0x80090014); /* NTE_BAD_PROV_TYPE */
    assert_false(CryptAcquireContextA(&context, NULL, "Nobody's", 1, 0xF0000000));
    assert_int_equal(ke_last_error(), 0x80090019); /* NTE_KEYSET_NOT_DEF */
    assert_true(CryptAcquireContextA(&context, NULL, NULL, 1, 0xF0000040));
    assert_true(CryptGenRandom(context, sizeof(bytes), bytes));
    assert_false(all_zero(bytes, sizeof(bytes)));
    assert_true(CryptReleaseContext(context, 0));
    assert_false(CryptGenRandom(context, sizeof(bytes), bytes));
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
    assert_false(CryptReleaseContext(context, 0));
}

static void the_registry_is_empty(void **state)
{
    HANDLE key = (HANDLE)1;
    DWORD size = 0;
    ke_set_last_error(77);
    assert_int_equal(RegOpenKeyExW(HKEY_LOCAL_MACHINE, W("SOFTWARE"), 0, 0x20019, &key), 2);
    assert_null(key);
    assert_int_equal(RegOpenKeyExW(HKEY_LOCAL_MACHINE, NULL, 0, 0x20019, &key), 0);
    assert_int_equal(RegQueryValueExW(key, W("Value"), NULL, NULL, NULL, &size), 2);
    assert_int_equal(RegCloseKey(key), 0);
    assert_int_equal(RegOpenKeyExW((HANDLE)0x1234, W("SOFTWARE"), 0, 0x20019, &key), 6);
    assert_int_equal(RegCloseKey((HANDLE)0x1234), 6);
    assert_int_equal(ke_last_error(), 77); /* registry functions leave it alone */
}

/* ---- command lines ---- */

static void check_line(const char *line, int expected, ...)
{
    INT count = 0;
    WCHAR **argv = CommandLineToArgvW(W(line), &count);
    va_list wanted;
    assert_non_null(argv);
    va_start(wanted, expected);
    if (count != expected)
        fail_msg("%s: %d arguments", line, count);
    for (int i = 0; i < count; i++)
        assert_string_equal(narrow(argv[i]), va_arg(wanted, const char *));
    va_end(wanted);
    assert_null(argv[count]);
    assert_true(win32_heap_free(argv)); /* one block */
}

/* The table in the documentation of CommandLineToArgvW, then the program's name. */
static void command_lines_split_as_documented(void **state)
{
    check_line("p \"abc\" d e", 4, "p", "abc", "d", "e");
    check_line("p a\\\\b d\"e f\"g h", 4, "p", "a\\\\b", "de fg", "h");
    check_line("p a\\\\\\\"b c d", 4, "p", "a\\\"b", "c", "d");
    check_line("p a\\\\\\\\\"b c\" d e", 4, "p", "a\\\\b c", "d", "e");
    check_line("\"C:\\a b\\\" x\\", 2, "C:\\a b\\", "x\\");
    check_line("a\"b c", 2, "a\"b", "c");
    check_line(" x", 2, "", "x");
    check_line("p \"\" y", 3, "p", "", "y");
    /* Every third quote is one of the text; quoting ends there. */
    check_line("p \"a\"\" b", 3, "p", "a\"", "b");
    check_line("p \"a\"\"\"b c\" d", 3, "p", "a\"b c", "d");
}

static void an_empty_line_is_the_program(void **state)
{
    INT count = 0;
    WCHAR **argv = CommandLineToArgvW(W(""), &count);
    assert_non_null(argv);
    assert_int_equal(count, 1);
    assert_int_not_equal(argv[0][0], 0);
    win32_heap_free(argv);
    assert_null(CommandLineToArgvW(NULL, &count));
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
}

/* ---- characters ---- */

static void case_maps_strings_and_single_characters(void **state)
{
    WCHAR wide[] = {'a', 0xE4, 0xFF, '1', 0};
    char narrow_text[] = "A\xC4 z", mixed[] = "ab\xFFz";
    assert_ptr_equal(CharUpperW(wide), wide);
    assert_int_equal(wide[0], 'A');
    assert_int_equal(wide[1], 0xC4);
    assert_int_equal(wide[2], 0x178);
    assert_int_equal(wide[3], '1');
    assert_int_equal((uintptr_t)CharUpperW((WCHAR *)(uintptr_t)'q'), 'Q');
    assert_string_equal(CharLowerA(narrow_text), "a\xE4 z");
    assert_int_equal(CharUpperBuffA(mixed, 3), 3);
    assert_string_equal(mixed, "AB\x9Fz"); /* U+0178 is 0x9F in code page 1252 */
}

static void wsprintf_stops_at_1024(void **state)
{
    static char out[2048], text[1500];
    static WCHAR wide[1024];
    memset(out, '#', sizeof(out));
    memset(text, 'x', sizeof(text) - 1);
    assert_int_equal(wsprintfA(out, "%s", text), 1023);
    assert_int_equal(out[1022], 'x');
    assert_int_equal(out[1023], 0);
    assert_int_equal(out[1024], '#');
    assert_int_equal(wsprintfA(out, "%d %08lX %s %c%%", -5, 0xBEEFu, "s", 'c'), 16);
    assert_string_equal(out, "-5 0000BEEF s c%");
    assert_int_equal(wsprintfW(wide, W("<%s|%S>"), W("w"), "n"), 5);
    assert_string_equal(narrow(wide), "<w|n>");
}

/* ---- Winsock ---- */

static void winsock_negotiates_its_version(void **state)
{
    union {
        WORD words[2];
        char bytes[512];
    } data;
    assert_int_equal(WSACleanup(), -1);
    assert_int_equal(WSAGetLastError(), 10093); /* WSANOTINITIALISED */
    assert_int_equal(WSAStartup(0x0202, &data), 0);
    assert_int_equal(data.words[0], 0x0202);
    assert_int_equal(data.words[1], 0x0202);
    assert_string_equal(data.bytes + (sizeof(void *) == 8 ? 16 : 4), "WinSock 2.0");
    assert_int_equal(WSAStartup(0x0101, &data), 0);
    assert_int_equal(data.words[0], 0x0101);
    assert_int_equal(WSAStartup(0x0003, &data), 0);
    assert_int_equal(data.words[0], 0x0202);
    assert_int_equal(WSAStartup(0x0000, &data), 10092); /* WSAVERNOTSUPPORTED */
    for (int i = 0; i < 3; i++)
        assert_int_equal(WSACleanup(), 0);
    assert_int_equal(WSACleanup(), -1);
    assert_int_equal(htons(0x1234), 0x3412);
    assert_int_equal(htonl(0x12345678), 0x78563412);
}

static uint64_t by_ordinal(struct ldr_module *module, uint16_t ordinal)
{
    uint64_t address = 0;
    assert_int_equal(ldr_symbol(module, NULL, ordinal, &address, NULL), STATUS_SUCCESS);
    return address;
}

static uint64_t by_name(struct ldr_module *module, const char *name)
{
    uint64_t address = 0;
    assert_int_equal(ldr_symbol(module, name, 0, &address, NULL), STATUS_SUCCESS);
    return address;
}

/* As the export directory has it, traps too, which ldr_symbol() does not give by name. */
static uint64_t in_directory(struct ldr_module *module, const char *name)
{
    struct pe_exports exports;
    struct pe_export found;
    assert_true(pe_exports_open(ldr_module_image(module), &exports));
    assert_true(
        pe_export_by_name(&exports, (struct pe_str){name, (uint32_t)strlen(name)}, 0, &found));
    return ldr_module_base(module) + found.rva;
}

/* Programs import Winsock 1.1 by ordinal, functions that are traps among them. */
static void winsock_keeps_its_ordinals(void **state)
{
    struct ldr_load_options options = {.name = "ws2_32.dll"};
    struct ldr_module *module = NULL;
    win32_register();
    assert_int_equal(ldr_load(&options, &module, NULL), STATUS_SUCCESS);
    assert_int_equal(by_ordinal(module, 115), by_name(module, "WSAStartup"));
    assert_int_equal(by_ordinal(module, 9), by_name(module, "htons"));
    assert_int_equal(by_ordinal(module, 23), in_directory(module, "socket"));
    assert_int_equal(by_ordinal(module, 151), in_directory(module, "__WSAFDIsSet"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_bytes_fill_what_was_asked_and_no_more),
        cmocka_unit_test(bcrypt_knows_the_generator_only),
        cmocka_unit_test(bcrypt_wants_a_handle_or_the_flag),
        cmocka_unit_test(a_crypto_context_has_no_keys),
        cmocka_unit_test(the_registry_is_empty),
        cmocka_unit_test(command_lines_split_as_documented),
        cmocka_unit_test(an_empty_line_is_the_program),
        cmocka_unit_test(case_maps_strings_and_single_characters),
        cmocka_unit_test(wsprintf_stops_at_1024),
        cmocka_unit_test(winsock_negotiates_its_version),
        cmocka_unit_test(winsock_keeps_its_ordinals),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
