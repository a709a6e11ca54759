/*
 * The C runtime's variables (data.h): msvcrt's data exports, and the functions that give addresses.
 */
#include "loader/win32/crt/data.h"

#include <math.h>
#include <pthread.h>

#include "loader/ke/ke.h"
#include "loader/ke/teb.h"
#include "loader/win32/crt/ctype.h"
#include "loader/win32/crt/startup.h"
#include "loader/win32/crt/stream.h"

static struct {
    struct crt_file iob[CRT_IOB_ENTRIES];
    int fmode, commode, argc;
    char **argv, **environment, **initial_environment;
    crt_wchar **wide_argv, **wide_environment, **wide_initial_environment;
    char *command_line, *program;
    crt_wchar *wide_command_line, *wide_program;
    int mb_cur_max;
    crt_long timezone;
    int daylight;
    crt_long dst_bias;
    char *time_names[2];
    unsigned char mbctype[257], mbcasemap[256];
} values = {.fmode = 0x4000, .mb_cur_max = 1, .timezone = 8 * 3600, .dst_bias = -3600};

struct crt_data crt_data = {
    .iob = values.iob,
    .fmode = &values.fmode,
    .commode = &values.commode,
    .argc = &values.argc,
    .argv = &values.argv,
    .environment = &values.environment,
    .initial_environment = &values.initial_environment,
    .wide_argv = &values.wide_argv,
    .wide_environment = &values.wide_environment,
    .wide_initial_environment = &values.wide_initial_environment,
    .command_line = &values.command_line,
    .program = &values.program,
    .wide_command_line = &values.wide_command_line,
    .wide_program = &values.wide_program,
    .mb_cur_max = &values.mb_cur_max,
    .timezone = &values.timezone,
    .daylight = &values.daylight,
    .dst_bias = &values.dst_bias,
    .time_names = values.time_names,
    .mbctype = values.mbctype,
    .mbcasemap = values.mbcasemap,
};

/* What images may read and nobody changes; where the copies in msvcrt's image are. */
static const double huge = HUGE_VAL;
static uint32_t os_build, os_major, os_minor, os_version, os_platform; /* read_version() */
static const int error_count = 43;
static char *error_texts[44];
static const uint16_t *const class_table = crt_ctype_table + 1;
static const uint32_t zero[8];
static void *image_copies[16];

static const struct variable {
    struct ldr_builtin_export export;
    const void *value;
} variables[] = {
    {CRT_DATA(_iob, sizeof(values.iob), &crt_data.iob), values.iob},
    {CRT_DATA(_fmode, 4, &crt_data.fmode), &values.fmode},
    {CRT_DATA(_commode, 4, &crt_data.commode), &values.commode},
    {CRT_DATA(__argc, 4, &crt_data.argc), &values.argc},
    {CRT_DATA(__argv, sizeof(void *), &crt_data.argv), &values.argv},
    {CRT_DATA(__wargv, sizeof(void *), &crt_data.wide_argv), &values.wide_argv},
    {CRT_DATA(_environ, sizeof(void *), &crt_data.environment), &values.environment},
    {CRT_DATA(_wenviron, sizeof(void *), &crt_data.wide_environment), &values.wide_environment},
    {CRT_DATA(__initenv, sizeof(void *), &crt_data.initial_environment),
     &values.initial_environment},
    {CRT_DATA(__winitenv, sizeof(void *), &crt_data.wide_initial_environment),
     &values.wide_initial_environment},
    {CRT_DATA(_acmdln, sizeof(void *), &crt_data.command_line), &values.command_line},
    {CRT_DATA(_wcmdln, sizeof(void *), &crt_data.wide_command_line), &values.wide_command_line},
    {CRT_DATA(_pgmptr, sizeof(void *), &crt_data.program), &values.program},
    {CRT_DATA(_wpgmptr, sizeof(void *), &crt_data.wide_program), &values.wide_program},
    {CRT_DATA(__mb_cur_max, 4, &crt_data.mb_cur_max), &values.mb_cur_max},
    {CRT_DATA(_timezone, 4, &crt_data.timezone), &values.timezone},
    {CRT_DATA(_daylight, 4, &crt_data.daylight), &values.daylight},
    {CRT_DATA(_dstbias, 4, &crt_data.dst_bias), &values.dst_bias},
    {CRT_DATA(_tzname, sizeof(values.time_names), &crt_data.time_names), values.time_names},
    {CRT_DATA(_mbctype, sizeof(values.mbctype), &crt_data.mbctype), values.mbctype},
    {CRT_DATA(_mbcasemap, sizeof(values.mbcasemap), &crt_data.mbcasemap), values.mbcasemap},
    {CRT_DATA(_HUGE, sizeof(huge), &image_copies[0]), &huge},
    {CRT_DATA(_osver, 4, &image_copies[1]), &os_build},
    {CRT_DATA(_winver, 4, &image_copies[2]), &os_version},
    {CRT_DATA(_winmajor, 4, &image_copies[3]), &os_major},
    {CRT_DATA(_winminor, 4, &image_copies[4]), &os_minor},
    {CRT_DATA(_osplatform, 4, &image_copies[5]), &os_platform},
    {CRT_DATA(_sys_nerr, 4, &image_copies[6]), &error_count},
    {CRT_DATA(_sys_errlist, sizeof(error_texts), &image_copies[7]), error_texts},
    {CRT_DATA(_pctype, sizeof(void *), &image_copies[8]), &class_table},
    {CRT_DATA(_ctype, sizeof(crt_ctype_table), &image_copies[9]), crt_ctype_table},
    {CRT_DATA(_adjust_fdiv, 4, &image_copies[10]), zero}, /* no Pentium with the FDIV flaw */
    {CRT_DATA(_fileinfo, 4, &image_copies[11]), zero},
    {CRT_DATA(__lc_codepage, 4, &image_copies[12]), zero},
    {CRT_DATA(__lc_collate_cp, 4, &image_copies[13]), zero},
    {CRT_DATA(__lc_handle, 24, &image_copies[14]), zero},
    {CRT_DATA(__setlc_active, 4, &image_copies[15]), zero},
};
static struct ldr_builtin_export exports[CRT_COUNT(variables)];
const struct ldr_builtin_family crt_data_family = {exports, CRT_COUNT(exports)};

static void init(void)
{
    crt_stream_init_iob(values.iob);
    for (int i = 0; i < (int)CRT_COUNT(error_texts); i++) {
        error_texts[i] = (char *)crt_error_text(i < error_count ? i : -1);
    }
    for (size_t i = 0; i < CRT_COUNT(variables); i++) {
        exports[i] = variables[i].export;
    }
}

void crt_data_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init);
}

int crt_default_mode(void)
{
    return *crt_data.fmode;
}

static void read_version(void)
{
    const struct ke_peb *peb = ke_peb();
    os_build = peb->OSBuildNumber;
    os_major = peb->OSMajorVersion;
    os_minor = peb->OSMinorVersion;
    os_version = os_major << 8 | os_minor;
    os_platform = peb->OSPlatformId;
}

/* The variables are in the image from now on, with the values that they had here. */
void crt_data_attach_msvcrt(void)
{
    crt_data_init();
    read_version();
    for (size_t i = 0; i < CRT_COUNT(variables); i++) {
        void *place = *variables[i].export.location;
        if (place != NULL && place != variables[i].value) { /* not exported in this word size */
            memcpy(place, variables[i].value, variables[i].export.size);
        }
    }
    crt_startup();
}

void crt_data_attach_ucrt(void)
{
    read_version();
    crt_startup();
}

/* ---- functions that give addresses
 * ---------------------------------------------------------------------- */

#define ADDRESS_OF(function, variable)             \
    static WINCDECL_DEF void *crt_##function(void) \
    {                                              \
        return crt_data.variable;                  \
    }
ADDRESS_OF(__p___argc, argc)
ADDRESS_OF(__p___argv, argv)
ADDRESS_OF(__p___wargv, wide_argv)
ADDRESS_OF(__p__environ, environment)
ADDRESS_OF(__p__wenviron, wide_environment)
ADDRESS_OF(__p___initenv, initial_environment)
ADDRESS_OF(__p___winitenv, wide_initial_environment)
ADDRESS_OF(__p__acmdln, command_line)
ADDRESS_OF(__p__wcmdln, wide_command_line)
ADDRESS_OF(__p__pgmptr, program)
ADDRESS_OF(__p__wpgmptr, wide_program)
ADDRESS_OF(__p__fmode, fmode)
ADDRESS_OF(__p__commode, commode)
ADDRESS_OF(__p___mb_cur_max, mb_cur_max)
ADDRESS_OF(__p__timezone, timezone)
ADDRESS_OF(__p__daylight, daylight)
ADDRESS_OF(__p__dstbias, dst_bias)
ADDRESS_OF(__p__tzname, time_names)
ADDRESS_OF(__p__mbctype, mbctype)
ADDRESS_OF(__p__mbcasemap, mbcasemap)

static WINCDECL_DEF const void *crt___p__pctype(void)
{
    return &class_table;
}

static WINCDECL_DEF const void *crt___p__osver(void)
{
    return &os_build;
}

static WINCDECL_DEF const void *crt___p__winver(void)
{
    return &os_version;
}

static WINCDECL_DEF const void *crt___p__winmajor(void)
{
    return &os_major;
}

static WINCDECL_DEF const void *crt___p__winminor(void)
{
    return &os_minor;
}

static WINCDECL_DEF const int *crt___sys_nerr(void)
{
    return &error_count;
}

static WINCDECL_DEF char **crt___sys_errlist(void)
{
    return error_texts;
}

static WINCDECL_DEF int crt__set_fmode(int mode)
{
    if (mode != 0x4000 && mode != 0x8000) {
        return crt_invalid(CRT_EINVAL);
    }
    *crt_data.fmode = mode;
    return 0;
}

static WINCDECL_DEF int crt__get_fmode(int *mode)
{
    if (mode == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    *mode = *crt_data.fmode;
    return 0;
}

static WINCDECL_DEF int crt__get_pgmptr(char **out)
{
    *out = *crt_data.program;
    return 0;
}

static WINCDECL_DEF int crt__get_wpgmptr(crt_wchar **out)
{
    *out = *crt_data.wide_program;
    return 0;
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(__p___argc),     CRT_FN(__p___argv),
    CRT_FN(__p___wargv),    CRT_FN(__p__environ),
    CRT_FN(__p__wenviron),  CRT_FN(__p___initenv),
    CRT_FN(__p___winitenv), CRT_FN(__p__acmdln),
    CRT_FN(__p__wcmdln),    CRT_FN(__p__pgmptr),
    CRT_FN(__p__wpgmptr),   CRT_FN(__p__fmode),
    CRT_FN(__p__commode),   CRT_FN(__p___mb_cur_max),
    CRT_FN(__p__timezone),  CRT_AS(__timezone, crt___p__timezone),
    CRT_FN(__p__daylight),  CRT_AS(__daylight, crt___p__daylight),
    CRT_FN(__p__dstbias),   CRT_AS(__dstbias, crt___p__dstbias),
    CRT_FN(__p__tzname),    CRT_AS(__tzname, crt___p__tzname),
    CRT_FN(__p__mbctype),   CRT_FN(__p__mbcasemap),
    CRT_FN(__p__pctype),    CRT_FN(__p__osver),
    CRT_FN(__p__winver),    CRT_FN(__p__winmajor),
    CRT_FN(__p__winminor),  CRT_FN(__sys_nerr),
    CRT_FN(__sys_errlist),  CRT_FN(_set_fmode),
    CRT_FN(_get_fmode),     CRT_FN(_get_pgmptr),
    CRT_FN(_get_wpgmptr),
};
CRT_FAMILY(crt_data_functions_family, functions);
