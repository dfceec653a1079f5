/*
 * environment - the variables that a child keeps
 *
 * Process: children.
 */
#include "environment.h"

#include <string.h>
#include <unistd.h>

#include "base.h"

/* Of libc, ICU, OpenSSL and the dynamic loader, and of those who measure and
 * test: none that anybody would keep a secret in. */
static const char *const kept[] = { "TZ", "TZDIR", "LANG", "LC_ALL",
	"LOCALDOMAIN", "RES_OPTIONS", "ICU_TIMEZONE_FILES_DIR", "ICU_DATA",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "OPENSSL_CONF", "OPENSSL_MODULES",
	"LD_PRELOAD", "LD_LIBRARY_PATH", "GCOV_PREFIX", "GCOV_PREFIX_STRIP",
	"LLVM_PROFILE_FILE" };

static bool
is_kept(const char *variable)
{
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		size_t bytes = strlen(kept[i]);

		if (strncmp(variable, kept[i], bytes) == 0 &&
		    variable[bytes] == '=')
			return true;
	}
	return false;
}

void
environment_reduce(void)
{
	size_t n = 0;

	for (size_t i = 0; environ[i] != NULL; i++)
		if (is_kept(environ[i]))
			environ[n++] = environ[i];
		else
			explicit_bzero(environ[i], strlen(environ[i]));
	environ[n] = NULL;
}
