/*
 * NTDLL through the functions that images call: counted strings, conversions, times, version,
 * memory, files, modules, C functions; results as Microsoft documents them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "loader/ke/ke.h"
#include "loader/ke/teb.h"
#include "loader/ldr/ldr.h"
#include "loader/mm/view.h"
#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/heap.h"
#include "loader/win32/memory.h"
#include "loader/win32/modules.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/strings.h"
#include "loader/win32/version.h"
#include "tests/unit/builtin_fn.h"

/* A function of the prepared module, whatever family serves it. */
#define GET(name) *(const void **)&name = win32_find(&win32_ntdll, #name)
#define NT(name, result, ...)          \
    result(WINAPI *name)(__VA_ARGS__); \
    GET(name);                         \
    assert_non_null(name)

/* NTSTATUS constants are negative ints, results are not. */
#define assert_u32(a, b) assert_int_equal((uint32_t)(a), (uint32_t)(b))

static const WCHAR *wide(const char *text)
{
    static WCHAR buffers[4][64];
    static unsigned next;
    WCHAR *out = buffers[next++ % 4];
    size_t i = 0;
    for (; text[i]; i++)
        out[i] = (uint8_t)text[i];
    out[i] = 0;
    return out;
}

static UNICODE_STRING counted(const char *text)
{
    const WCHAR *s = wide(text);
    USHORT bytes = (USHORT)(win32_wlen(s) * sizeof(WCHAR));
    return (UNICODE_STRING){bytes, (USHORT)(bytes + sizeof(WCHAR)), (WCHAR *)s};
}

static void strings_are_counted_in_bytes(void **state)
{
    UNICODE_STRING string;
    static WCHAR huge[0x9000];
    NT(RtlInitUnicodeString, void, UNICODE_STRING *, const WCHAR *);
    NT(RtlInitUnicodeStringEx, nt_status, UNICODE_STRING *, const WCHAR *);
    RtlInitUnicodeString(&string, wide("abc"));
    assert_u32(string.Length, 6);
    assert_u32(string.MaximumLength, 8);
    RtlInitUnicodeString(&string, NULL);
    assert_u32(string.MaximumLength, 0);
    assert_null(string.Buffer);
    for (size_t i = 0; i < 0x8FFF; i++)
        huge[i] = 'x';
    RtlInitUnicodeString(&string, huge);
    assert_u32(string.Length, 0xFFFC);
    assert_u32(string.MaximumLength, 0xFFFE);
    assert_u32(RtlInitUnicodeStringEx(&string, huge), STATUS_NAME_TOO_LONG);
}

static void copies_are_cut_and_terminated_where_there_is_room(void **state)
{
    WCHAR room[4] = {'q', 'q', 'q', 'q'};
    UNICODE_STRING out = {0, 6, room}, in = counted("hello"), two = counted("hi");
    NT(RtlCopyUnicodeString, void, UNICODE_STRING *, const UNICODE_STRING *);
    NT(RtlAppendUnicodeToString, nt_status, UNICODE_STRING *, const WCHAR *);
    RtlCopyUnicodeString(&out, &in);
    assert_u32(out.Length, 6);
    assert_u32(room[2], 'l');
    assert_u32(room[3], 'q');
    RtlCopyUnicodeString(&out, &two);
    assert_u32(out.Length, 4);
    assert_u32(room[2], 0);
    assert_u32(RtlAppendUnicodeToString(&out, wide("xy")), STATUS_BUFFER_TOO_SMALL);
    assert_u32(RtlAppendUnicodeToString(&out, wide("x")), STATUS_SUCCESS);
    assert_u32(out.Length, 6);
    RtlCopyUnicodeString(&out, NULL);
    assert_u32(out.Length, 0);
}

static void comparison_orders_by_unit_then_length(void **state)
{
    UNICODE_STRING a = counted("Abc"), b = counted("aBC"), c = counted("abcd"), d = counted("ab");
    NT(RtlCompareUnicodeString, LONG, const UNICODE_STRING *, const UNICODE_STRING *, BOOLEAN);
    NT(RtlEqualUnicodeString, BOOLEAN, const UNICODE_STRING *, const UNICODE_STRING *, BOOLEAN);
    NT(RtlPrefixUnicodeString, BOOLEAN, const UNICODE_STRING *, const UNICODE_STRING *, BOOLEAN);
    NT(RtlUpcaseUnicodeChar, WCHAR, WCHAR);
    NT(RtlHashUnicodeString, nt_status, const UNICODE_STRING *, BOOLEAN, ULONG, ULONG *);
    ULONG one = 0, other = 1;
    assert_true(RtlEqualUnicodeString(&a, &b, TRUE));
    assert_false(RtlEqualUnicodeString(&a, &b, FALSE));
    assert_true(RtlCompareUnicodeString(&a, &b, FALSE) < 0);
    assert_true(RtlCompareUnicodeString(&c, &a, TRUE) > 0);
    assert_true(RtlPrefixUnicodeString(&d, &a, TRUE));
    assert_false(RtlPrefixUnicodeString(&c, &a, TRUE));
    assert_u32(RtlUpcaseUnicodeChar(0xE9), 0xC9);
    assert_u32(RtlHashUnicodeString(&a, TRUE, 0, &one), STATUS_SUCCESS);
    assert_u32(RtlHashUnicodeString(&b, TRUE, 1, &other), STATUS_SUCCESS);
    assert_u32(one, other);
    assert_u32(one, ('A' * 65599u + 'B') * 65599u + 'C');
    assert_u32(RtlHashUnicodeString(&b, TRUE, 2, &other), STATUS_INVALID_PARAMETER);
}

static void ansi_and_wide_convert_both_ways(void **state)
{
    char small[3], text[] = "a\xE9\x80z"; /* 0x80 is the euro sign in code page 1252 */
    ANSI_STRING ansi = {4, 5, text}, cut = {0, sizeof(small), small};
    UNICODE_STRING out = {0, 0, NULL};
    NT(RtlAnsiStringToUnicodeString, nt_status, UNICODE_STRING *, const ANSI_STRING *, BOOLEAN);
    NT(RtlUnicodeStringToAnsiString, nt_status, ANSI_STRING *, const UNICODE_STRING *, BOOLEAN);
    NT(RtlFreeUnicodeString, void, UNICODE_STRING *);
    assert_u32(RtlAnsiStringToUnicodeString(&out, &ansi, FALSE), STATUS_BUFFER_OVERFLOW);
    assert_u32(RtlAnsiStringToUnicodeString(&out, &ansi, TRUE), STATUS_SUCCESS);
    assert_u32(out.Length, 8);
    assert_u32(out.MaximumLength, 10);
    assert_u32(out.Buffer[2], 0x20AC);
    assert_u32(out.Buffer[4], 0);
    assert_u32(RtlUnicodeStringToAnsiString(&cut, &out, FALSE), STATUS_BUFFER_OVERFLOW);
    assert_u32(cut.Length, 2);
    assert_string_equal(small, "a\xE9");
    RtlFreeUnicodeString(&out);
    assert_null(out.Buffer);
    assert_u32(out.MaximumLength, 0);
}

static void utf8_reports_what_it_could_not_map(void **state)
{
    WCHAR out[8];
    char bytes[8];
    ULONG done = 0;
    NT(RtlUTF8ToUnicodeN, nt_status, WCHAR *, ULONG, ULONG *, const char *, ULONG);
    NT(RtlUnicodeToUTF8N, nt_status, char *, ULONG, ULONG *, const WCHAR *, ULONG);
    assert_u32(RtlUTF8ToUnicodeN(NULL, 0, &done, "\xF0\x9F\x98\x80x", 5), STATUS_SUCCESS);
    assert_u32(done, 6);
    assert_u32(RtlUTF8ToUnicodeN(out, sizeof(out), &done, "\xC3\xA9\xFF", 3), 0x107);
    assert_u32(done, 4);
    assert_u32(out[0], 0xE9);
    assert_u32(out[1], 0xFFFD);
    assert_u32(RtlUTF8ToUnicodeN(out, 2, &done, "\xF0\x9F\x98\x80", 4), STATUS_BUFFER_TOO_SMALL);
    assert_u32(done, 0);
    assert_u32(RtlUTF8ToUnicodeN(out, 2, &done, NULL, 4), 0xC00000F2);
    out[0] = 0xD800;
    assert_u32(RtlUnicodeToUTF8N(bytes, sizeof(bytes), &done, out, 2), 0x107);
    assert_u32(done, 3);
    assert_memory_equal(bytes, "\xEF\xBF\xBD", 3);
    assert_u32(RtlUnicodeToUTF8N(bytes, sizeof(bytes), &done, out, 1), 0xC00000F3);
}

static void numbers_parse_and_print(void **state)
{
    ULONG value = 1;
    WCHAR room[4];
    UNICODE_STRING hex = counted(" -0x1F."), out = {0, sizeof(room), room};
    NT(RtlUnicodeStringToInteger, nt_status, const UNICODE_STRING *, ULONG, ULONG *);
    NT(RtlIntegerToUnicodeString, nt_status, ULONG, ULONG, UNICODE_STRING *);
    assert_u32(RtlUnicodeStringToInteger(&hex, 0, &value), STATUS_SUCCESS);
    assert_u32(value, (ULONG)-31);
    assert_u32(RtlUnicodeStringToInteger(&hex, 7, &value), STATUS_INVALID_PARAMETER);
    assert_u32(RtlIntegerToUnicodeString(255, 16, &out), STATUS_SUCCESS);
    assert_u32(out.Length, 4);
    assert_u32(win32_wcmp(room, wide("FF")), 0);
    assert_u32(RtlIntegerToUnicodeString(12345, 0, &out), STATUS_BUFFER_OVERFLOW);
}

static void times_convert(void **state)
{
    struct {
        SHORT year, month, day, hour, minute, second, ms, weekday;
    } fields;
    int64_t time = 0, again = 0;
    ULONG seconds = 0;
    NT(RtlSecondsSince1970ToTime, void, ULONG, int64_t *);
    NT(RtlTimeToSecondsSince1970, BOOLEAN, const int64_t *, ULONG *);
    NT(RtlTimeToTimeFields, void, const int64_t *, void *);
    NT(RtlTimeFieldsToTime, BOOLEAN, const void *, int64_t *);
    NT(NtQuerySystemTime, nt_status, int64_t *);
    RtlSecondsSince1970ToTime(951782400, &time); /* 2000-02-29, a Tuesday */
    assert_true(time == 125962560000000000);
    assert_true(RtlTimeToSecondsSince1970(&time, &seconds));
    assert_u32(seconds, 951782400);
    RtlTimeToTimeFields(&time, &fields);
    assert_u32(fields.month, 2);
    assert_u32(fields.day, 29);
    assert_u32(fields.weekday, 2);
    assert_true(RtlTimeFieldsToTime(&fields, &again));
    assert_true(again == time);
    fields.day = 30;
    assert_false(RtlTimeFieldsToTime(&fields, &again));
    time = 0;
    assert_false(RtlTimeToSecondsSince1970(&time, &seconds));
    assert_u32(NtQuerySystemTime(&time), STATUS_SUCCESS);
    assert_true(time > 125962560000000000);
}

static void the_version_is_windows_10(void **state)
{
    struct win32_version_info info = {.size = sizeof(info)};
    ULONG major = 0, minor = 1, build = 0;
    NT(RtlGetVersion, nt_status, void *);
    NT(RtlGetNtVersionNumbers, void, ULONG *, ULONG *, ULONG *);
    NT(VerSetConditionMask, ULONGLONG, ULONGLONG, ULONG, BYTE);
    NT(RtlVerifyVersionInfo, nt_status, const void *, ULONG, ULONGLONG);
    assert_u32(RtlGetVersion(&info), STATUS_SUCCESS);
    assert_u32(info.major, 10);
    RtlGetNtVersionNumbers(&major, &minor, &build);
    assert_u32(major, 10);
    assert_u32(minor, 0);
    assert_u32(build, 0xF0000000u | info.build);
    ULONGLONG equal = VerSetConditionMask(0, 2 /* VER_MAJORVERSION */, 1 /* VER_EQUAL */);
    assert_true(equal == 8);
    assert_u32(RtlVerifyVersionInfo(&info, 2, equal), STATUS_SUCCESS);
    info.major = 11;
    assert_u32(RtlVerifyVersionInfo(&info, 2, equal), 0xC0000059);
    assert_u32(RtlVerifyVersionInfo(&info, 2, 0), STATUS_INVALID_PARAMETER);
}

static void errors_go_through_the_teb(void **state)
{
    NT(RtlNtStatusToDosError, ULONG, nt_status);
    NT(RtlGetLastNtStatus, nt_status, void);
    NT(RtlSetLastWin32Error, void, ULONG);
    NT(RtlGetLastWin32Error, ULONG, void);
    assert_u32(RtlNtStatusToDosError(STATUS_ACCESS_VIOLATION), 998);
    assert_u32(RtlGetLastNtStatus(), STATUS_ACCESS_VIOLATION);
    assert_u32(RtlNtStatusToDosError(0xC0012345), ERROR_MR_MID_NOT_FOUND);
    RtlSetLastWin32Error(4711);
    assert_u32(RtlGetLastWin32Error(), 4711);
    assert_u32(ke_last_error(), 4711);
}

static void information_classes_want_their_size(void **state)
{
    uintptr_t info[6] = {0};
    ULONG returned = 0;
    HANDLE self = CURRENT_PROCESS;
    NT(NtQueryInformationProcess, nt_status, HANDLE, ULONG, void *, ULONG, ULONG *);
    assert_u32(NtQueryInformationProcess(self, 0, info, 4, &returned), STATUS_INFO_LENGTH_MISMATCH);
    assert_u32(returned, sizeof(info));
    assert_u32(NtQueryInformationProcess(self, 0, info, sizeof(info), NULL), STATUS_SUCCESS);
    assert_ptr_equal((void *)info[1], ke_peb());
    assert_u32(info[4], ke_process_id());
    assert_u32(NtQueryInformationProcess(self, 999, info, sizeof(info), NULL),
               STATUS_INVALID_INFO_CLASS);
    assert_u32(NtQueryInformationProcess(NULL, 0, info, sizeof(info), NULL), STATUS_INVALID_HANDLE);
}

static void memory_is_reserved_protected_queried_and_freed(void **state)
{
    struct win32_memory_information info;
    void *base = NULL;
    SIZE_T size = 0x1800, returned = 0, read = 0;
    ULONG old = 0;
    HANDLE self = CURRENT_PROCESS;
    char byte = 1;
    NT(NtAllocateVirtualMemory, nt_status, HANDLE, void **, ULONG_PTR, SIZE_T *, ULONG, ULONG);
    NT(NtProtectVirtualMemory, nt_status, HANDLE, void **, SIZE_T *, ULONG, ULONG *);
    NT(NtQueryVirtualMemory, nt_status, HANDLE, const void *, ULONG, void *, SIZE_T, SIZE_T *);
    NT(NtFreeVirtualMemory, nt_status, HANDLE, void **, SIZE_T *, ULONG);
    NT(NtReadVirtualMemory, nt_status, HANDLE, const void *, void *, SIZE_T, SIZE_T *);
    assert_u32(
        NtAllocateVirtualMemory(self, &base, 0, &size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE),
        STATUS_SUCCESS);
    assert_u32(size, 0x2000);
    void *at = (char *)base + 0x1010;
    SIZE_T one = 1;
    assert_u32(NtProtectVirtualMemory(self, &at, &one, PAGE_NOACCESS, &old), STATUS_SUCCESS);
    assert_ptr_equal(at, (char *)base + 0x1000);
    assert_u32(one, 0x1000);
    assert_u32(old, PAGE_READWRITE);
    assert_u32(NtQueryVirtualMemory(self, at, 0, &info, sizeof(info), &returned), STATUS_SUCCESS);
    assert_u32(returned, sizeof(info));
    assert_u32(info.Protect, PAGE_NOACCESS);
    assert_ptr_equal(info.AllocationBase, base);
    assert_u32(NtQueryVirtualMemory(self, at, 0, &info, 4, NULL), STATUS_INFO_LENGTH_MISMATCH);
    assert_u32(NtReadVirtualMemory(self, base, &byte, 1, &read), STATUS_SUCCESS);
    assert_u32(byte, 0);
    assert_u32(NtReadVirtualMemory(self, at, &byte, 1, &read), STATUS_PARTIAL_COPY);
    assert_u32(read, 0);
    size = 0;
    assert_u32(NtFreeVirtualMemory(self, &base, &size, MEM_RELEASE), STATUS_SUCCESS);
    assert_u32(size, 0x2000);
    size = 0;
    assert_u32(NtFreeVirtualMemory(self, &base, &size, MEM_RELEASE), STATUS_MEMORY_NOT_ALLOCATED);
}

static void files_transfer_and_tell_of_themselves(void **state)
{
    struct {
        int64_t allocation, end;
        ULONG links;
        BOOLEAN pending, directory;
    } standard;
    char name[] = "/tmp/ntdll-XXXXXX", buffer[8] = "";
    int64_t at = 2, position = 0;
    IO_STATUS_BLOCK io;
    NT(NtReadFile, nt_status, HANDLE, HANDLE, void *, void *, IO_STATUS_BLOCK *, void *, ULONG,
       const int64_t *, void *);
    NT(NtWriteFile, nt_status, HANDLE, HANDLE, void *, void *, IO_STATUS_BLOCK *, const void *,
       ULONG, const int64_t *, void *);
    NT(NtQueryInformationFile, nt_status, HANDLE, IO_STATUS_BLOCK *, void *, ULONG, ULONG);
    NT(NtClose, nt_status, HANDLE);
    HANDLE file = win32_file_from_fd(mkstemp(name), GENERIC_READ | GENERIC_WRITE, true);
    assert_u32(NtWriteFile(file, NULL, NULL, NULL, &io, "abcdef", 6, NULL, NULL), 0);
    assert_u32(io.Information, 6);
    assert_u32(NtReadFile(file, NULL, NULL, NULL, &io, buffer, 3, &at, NULL), 0);
    assert_memory_equal(buffer, "cde", 3);
    assert_u32(NtQueryInformationFile(file, &io, &position, 8, 14), STATUS_SUCCESS);
    assert_u32(position, 5);
    assert_u32(NtQueryInformationFile(file, &io, &standard, 24, 5), STATUS_SUCCESS);
    assert_u32(io.Information, 24);
    assert_u32(standard.end, 6);
    assert_u32(standard.links, 1);
    assert_false(standard.directory);
    assert_u32(NtQueryInformationFile(file, &io, &standard, 23, 5), STATUS_INFO_LENGTH_MISMATCH);
    assert_u32(NtQueryInformationFile(file, &io, &standard, 24, 999), STATUS_INVALID_INFO_CLASS);
    at = 6;
    assert_u32(NtReadFile(file, NULL, NULL, NULL, &io, buffer, 3, &at, NULL), STATUS_END_OF_FILE);
    assert_u32(NtClose(file), STATUS_SUCCESS);
    assert_u32(NtClose(file), STATUS_INVALID_HANDLE);
    assert_u32(NtClose(CURRENT_PROCESS), STATUS_SUCCESS);
    unlink(name);
}

static void modules_are_found_by_name_and_export(void **state)
{
    char text[] = "RtlGetVersion";
    UNICODE_STRING ntdll = counted("ntdll.dll"), nothing = counted("no-such.dll");
    ANSI_STRING name = {13, 14, text}, missing = {3, 4, text};
    HMODULE module = NULL, same = NULL;
    void *address = NULL;
    ULONG size = 0;
    NT(LdrLoadDll, nt_status, const WCHAR *, const ULONG *, const UNICODE_STRING *, HMODULE *);
    NT(LdrGetDllHandle, nt_status, const WCHAR *, const ULONG *, const UNICODE_STRING *, HMODULE *);
    NT(LdrGetProcedureAddress, nt_status, HMODULE, const ANSI_STRING *, ULONG, void **);
    NT(LdrAddRefDll, nt_status, ULONG, HMODULE);
    NT(LdrUnloadDll, nt_status, HMODULE);
    NT(RtlImageNtHeader, const void *, const void *);
    NT(RtlImageDirectoryEntryToData, const void *, const void *, BOOLEAN, USHORT, ULONG *);
    assert_u32(LdrLoadDll(NULL, NULL, &nothing, &module), STATUS_DLL_NOT_FOUND);
    assert_null(module);
    assert_u32(LdrLoadDll(NULL, NULL, &ntdll, &module), STATUS_SUCCESS);
    assert_u32(LdrGetDllHandle(NULL, NULL, &ntdll, &same), STATUS_SUCCESS);
    assert_ptr_equal(same, module);
    assert_u32(LdrGetProcedureAddress(module, &name, 0, &address), STATUS_SUCCESS);
    assert_non_null(address);
    assert_false(nt_ok(LdrGetProcedureAddress(module, &missing, 0, &address)));
    assert_null(address);
    assert_u32(LdrGetProcedureAddress(NULL, &name, 0, &address), STATUS_DLL_NOT_FOUND);
    assert_u32(LdrAddRefDll(0, module), STATUS_SUCCESS);
    assert_u32(LdrAddRefDll(2, module), STATUS_INVALID_PARAMETER);
    assert_u32(LdrUnloadDll(module), STATUS_SUCCESS);
    assert_memory_equal(RtlImageNtHeader(module), "PE\0\0", 4);
    assert_null(RtlImageNtHeader("no image at all"));
    const uint8_t *exports = RtlImageDirectoryEntryToData(module, TRUE, 0, &size);
    assert_non_null(exports);
    assert_true(size >= 40);
    assert_null(RtlImageDirectoryEntryToData(module, TRUE, 16, &size));
    LdrUnloadDll(module);
}

static void the_loader_lock_checks_its_arguments(void **state)
{
    ULONG got = 7;
    ULONG_PTR cookie = 7;
    NT(LdrLockLoaderLock, nt_status, ULONG, ULONG *, ULONG_PTR *);
    NT(LdrUnlockLoaderLock, nt_status, ULONG, ULONG_PTR);
    assert_u32(LdrLockLoaderLock(0x10, &got, &cookie), 0xC00000EF);
    assert_u32(got, 0);
    assert_u32(cookie, 0);
    assert_u32(LdrLockLoaderLock(0, NULL, NULL), 0xC00000F1);
    assert_u32(LdrLockLoaderLock(2, NULL, &cookie), 0xC00000F0);
    assert_u32(LdrLockLoaderLock(2, &got, &cookie), STATUS_SUCCESS);
    assert_u32(got, 1);
    assert_u32(LdrUnlockLoaderLock(0, cookie + 1), 0xC00000F0);
    assert_u32(LdrUnlockLoaderLock(0, cookie), STATUS_SUCCESS);
    assert_u32(LdrUnlockLoaderLock(0, 0), STATUS_SUCCESS);
}

static void nobody_listens_to_events(void **state)
{
    uint8_t guid[16] = {1};
    uint64_t handle = 0;
    NT(EtwEventRegister, ULONG, const void *, void *, void *, uint64_t *);
    NT(EtwEventEnabled, BOOLEAN, uint64_t, const void *);
    NT(EtwEventWrite, ULONG, uint64_t, const void *, ULONG, const void *);
    NT(EtwEventUnregister, ULONG, uint64_t);
    assert_u32(EtwEventRegister(NULL, NULL, NULL, &handle), ERROR_INVALID_PARAMETER);
    assert_u32(EtwEventRegister(guid, NULL, NULL, &handle), ERROR_SUCCESS);
    assert_true(handle != 0);
    assert_false(EtwEventEnabled(handle, guid));
    assert_u32(EtwEventWrite(handle, guid, 0, NULL), ERROR_SUCCESS);
    assert_u32(EtwEventUnregister(handle), ERROR_SUCCESS);
    assert_u32(EtwEventUnregister(0), ERROR_INVALID_HANDLE);
}

static void c_functions_are_exported(void **state)
{
    char text[16];
    size_t(WINCDECL * wcslen)(const WCHAR *);
    int(WINCDECL * _stricmp)(const char *, const char *);
    int(WINCDECL * sprintf)(char *, const char *, ...);
    GET(wcslen);
    GET(_stricmp);
    GET(sprintf);
    assert_non_null(wcslen);
    assert_non_null(_stricmp);
    assert_non_null(sprintf);
    assert_u32(wcslen(wide("four")), 4);
    assert_u32(_stricmp("ABC", "abc"), 0);
    assert_u32(sprintf(text, "%d-%s", 42, "x"), 4);
    assert_string_equal(text, "42-x");
    /* Names that only the C runtimes have are not NTDLL's. */
    assert_null(win32_find(&win32_ntdll, "fopen"));
}

static int prepare(void **state)
{
    win32_register();
    return nt_ok(ke_process_init(NULL)) && nt_ok(ke_thread_attach(NULL)) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_counted_in_bytes),
        cmocka_unit_test(copies_are_cut_and_terminated_where_there_is_room),
        cmocka_unit_test(comparison_orders_by_unit_then_length),
        cmocka_unit_test(ansi_and_wide_convert_both_ways),
        cmocka_unit_test(utf8_reports_what_it_could_not_map),
        cmocka_unit_test(numbers_parse_and_print),
        cmocka_unit_test(times_convert),
        cmocka_unit_test(the_version_is_windows_10),
        cmocka_unit_test(errors_go_through_the_teb),
        cmocka_unit_test(information_classes_want_their_size),
        cmocka_unit_test(memory_is_reserved_protected_queried_and_freed),
        cmocka_unit_test(files_transfer_and_tell_of_themselves),
        cmocka_unit_test(modules_are_found_by_name_and_export),
        cmocka_unit_test(the_loader_lock_checks_its_arguments),
        cmocka_unit_test(nobody_listens_to_events),
        cmocka_unit_test(c_functions_are_exported),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
