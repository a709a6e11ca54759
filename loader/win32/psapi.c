/*
 * PSAPI.DLL: since Windows 7 its functions are KERNEL32's, under the names that they have there.
 */
#include "loader/win32/smalldlls.h"

#define SAME(fn) LDR_FWD(fn, "KERNEL32.K32" #fn)

const struct ldr_builtin_export psapi_exports[] = {
    SAME(EmptyWorkingSet),
    SAME(EnumDeviceDrivers),
    SAME(EnumPageFilesA),
    SAME(EnumPageFilesW),
    SAME(EnumProcesses),
    SAME(EnumProcessModules),
    SAME(EnumProcessModulesEx),
    SAME(GetDeviceDriverBaseNameA),
    SAME(GetDeviceDriverBaseNameW),
    SAME(GetDeviceDriverFileNameA),
    SAME(GetDeviceDriverFileNameW),
    SAME(GetMappedFileNameA),
    SAME(GetMappedFileNameW),
    SAME(GetModuleBaseNameA),
    SAME(GetModuleBaseNameW),
    SAME(GetModuleFileNameExA),
    SAME(GetModuleFileNameExW),
    SAME(GetModuleInformation),
    SAME(GetPerformanceInfo),
    SAME(GetProcessImageFileNameA),
    SAME(GetProcessImageFileNameW),
    SAME(GetProcessMemoryInfo),
    SAME(GetWsChanges),
    SAME(GetWsChangesEx),
    SAME(InitializeProcessForWsWatch),
    SAME(QueryWorkingSet),
    SAME(QueryWorkingSetEx),
};
const size_t psapi_count = sizeof(psapi_exports) / sizeof(*psapi_exports);
