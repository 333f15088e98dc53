// Package supervise runs the parts of a cluster as child processes that start in order, end in order and never outlive it.
package supervise

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	stopTimeout   = 10 * time.Second
	maxLogBytes   = 8 << 20
	tailLogBytes  = 1500
	maxProcessors = "2"
)

// Exit is a part that ended by itself.
type Exit struct {
	Part string
	Err  error
	Tail string
}

// Parts are the running children of one server.
type Parts struct {
	logs    string
	mutex   sync.Mutex
	running map[string]*child
	ended   chan Exit
}

type child struct {
	command *exec.Cmd
	done    chan struct{}
}

// New keeps one log file per part in a folder.
func New(logs string) (*Parts, error) {
	if err := os.MkdirAll(logs, 0o700); err != nil {
		return nil, err
	}
	return &Parts{logs: logs, running: map[string]*child{}, ended: make(chan Exit, 16)}, nil
}

// Ended tells of parts that ended by themselves.
func (p *Parts) Ended() <-chan Exit { return p.ended }

// Start runs one part. Call it from the main goroutine, locked to its thread: the kernel ends a child with the thread
// that started it.
func (p *Parts) Start(name, program string, arguments ...string) error {
	file := filepath.Join(p.logs, name+".log")
	if info, err := os.Stat(file); err == nil && info.Size() > maxLogBytes {
		_ = os.Rename(file, file+".old")
	}
	log, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(program, arguments...)
	command.Stdout, command.Stderr = log, log
	// A part must not tell systemd that the server is ready, and six programs must not each start a thread per core.
	command.Env = append(without(os.Environ(), "NOTIFY_SOCKET"), "GOMAXPROCS="+maxProcessors)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := command.Start(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	started := &child{command: command, done: make(chan struct{})}
	p.mutex.Lock()
	p.running[name] = started
	p.mutex.Unlock()
	go p.wait(name, started, file)
	return nil
}

func (p *Parts) wait(name string, started *child, file string) {
	err := started.command.Wait()
	close(started.done)
	p.mutex.Lock()
	_, unexpected := p.running[name]
	delete(p.running, name)
	p.mutex.Unlock()
	if unexpected {
		p.ended <- Exit{Part: name, Err: err, Tail: tail(file)}
	}
}

// Stop ends groups of parts one after the other, the parts of a group together. All at once would cost 20 s: an API
// server whose etcd is gone waits for it.
func (p *Parts) Stop(groups ...[]string) {
	for _, group := range groups {
		var waiting []*child
		p.mutex.Lock()
		for _, name := range group {
			if started, ok := p.running[name]; ok {
				delete(p.running, name)
				_ = started.command.Process.Signal(syscall.SIGTERM)
				waiting = append(waiting, started)
			}
		}
		p.mutex.Unlock()
		deadline, cancel := context.WithTimeout(context.Background(), stopTimeout)
		for _, started := range waiting {
			select {
			case <-started.done:
			case <-deadline.Done():
				_ = started.command.Process.Kill()
				<-started.done
			}
		}
		cancel()
	}
}

func without(environment []string, name string) []string {
	var out []string
	for _, variable := range environment {
		if !strings.HasPrefix(variable, name+"=") {
			out = append(out, variable)
		}
	}
	return out
}

func tail(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-tailLogBytes):])
}
