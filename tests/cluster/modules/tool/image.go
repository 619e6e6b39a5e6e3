package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"runtime"
	"strings"
)

func split(text string) []string { return strings.Split(text, ",") }

// image writes an archive as 'docker save' does (image-spec v1.2: manifest.json, the configuration, one tar a layer),
// which containerd imports.
func image(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("OUT.tar and NAME:TAG are missing")
	}
	var layers [][]byte
	var entrypoint []string
	current := newLayer()
	for _, arg := range args[2:] {
		if program, found := strings.CutPrefix(arg, "!"); found {
			entrypoint = []string{program}
		} else if arg == "--" {
			layers = append(layers, current.end())
			current = newLayer()
		} else if err := current.add(arg); err != nil {
			return err
		}
	}
	layers = append(layers, current.end())

	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	var sums, names []string
	for _, layer := range layers {
		sum := fmt.Sprintf("%x", sha256.Sum256(layer))
		sums, names = append(sums, "sha256:"+sum), append(names, sum+"/layer.tar")
		if err := file(archive, sum+"/layer.tar", 0o644, layer); err != nil {
			return err
		}
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": entrypoint, "Env": []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": sums},
	})
	if err != nil {
		return err
	}
	configName := fmt.Sprintf("%x.json", sha256.Sum256(config))
	manifest, err := json.Marshal([]any{map[string]any{"Config": configName, "RepoTags": args[1:2], "Layers": names}})
	if err != nil {
		return err
	}
	if err := file(archive, configName, 0o644, config); err != nil {
		return err
	}
	if err := file(archive, "manifest.json", 0o644, manifest); err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	// The name appears when the archive is whole: a file with this name needs no check.
	if err := os.WriteFile(args[0]+".part", out.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(args[0]+".part", args[0])
}

type layer struct {
	buffer *bytes.Buffer
	tar    *tar.Writer
	made   map[string]bool
}

func newLayer() layer {
	buffer := &bytes.Buffer{}
	return layer{buffer, tar.NewWriter(buffer), map[string]bool{}}
}

func (l layer) end() []byte {
	l.tar.Close()
	return l.buffer.Bytes()
}

func (l layer) add(arg string) error {
	if target, link, isLink := strings.Cut(arg, "@"); isLink {
		link = strings.TrimPrefix(link, "/")
		l.directory(path.Dir(link))
		return l.tar.WriteHeader(&tar.Header{Name: link, Linkname: target, Typeflag: tar.TypeSymlink, Mode: 0o777})
	}
	source, name, _ := strings.Cut(arg, "=")
	name = strings.TrimPrefix(name, "/")
	if source == "" {
		return l.directory(name)
	}
	data, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	if err := l.directory(path.Dir(name)); err != nil {
		return err
	}
	return file(l.tar, name, 0o755, data)
}

func (l layer) directory(name string) error {
	if name == "." || l.made[name] {
		return nil
	}
	if err := l.directory(path.Dir(name)); err != nil {
		return err
	}
	l.made[name] = true
	mode := int64(0o755)
	if name == "tmp" {
		mode = 0o1777
	}
	return l.tar.WriteHeader(&tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: mode})
}

func file(archive *tar.Writer, name string, mode int64, data []byte) error {
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err := archive.Write(data)
	return err
}
