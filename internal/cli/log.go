package cli

import (
	"io"
	"log/slog"
	"strings"
	"time"
)

// pluginLog writes what the embedded hub and gateway log in the form in which Terraform takes a plugin's log lines, so
// that they appear with TF_LOG and TF_LOG_PROVIDER and nowhere otherwise.
func pluginLog(w io.Writer, getenv func(string) string) *slog.Logger {
	level := getenv("TF_LOG_PROVIDER")
	if level == "" {
		level = getenv("TF_LOG")
	}
	if level == "" || strings.EqualFold(level, "off") {
		return slog.New(slog.DiscardHandler)
	}
	var least slog.Level
	switch strings.ToUpper(level) {
	case "TRACE", "DEBUG", "JSON":
		least = slog.LevelDebug
	case "WARN":
		least = slog.LevelWarn
	case "ERROR":
		least = slog.LevelError
	default:
		least = slog.LevelInfo
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: least, ReplaceAttr: pluginAttr}))
}

// pluginAttr renames slog's own keys to those of hclog.
func pluginAttr(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.TimeKey:
		return slog.String("@timestamp", a.Value.Time().Format(time.RFC3339Nano))
	case slog.LevelKey:
		return slog.String("@level", strings.ToLower(a.Value.String()))
	case slog.MessageKey:
		return slog.String("@message", a.Value.String())
	default:
		return a
	}
}
