// Package pki makes the certificates of a cluster: three authorities and what they sign, in k3s's places.
//
// A certificate is made again when it is absent, when it ends in less than 90 days, or when its names changed.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	renewBefore   = 90 * 24 * time.Hour
)

// Leaf is one certificate that an authority signs.
type Leaf struct {
	Name, Authority, CommonName, Organization string
	Server                                    bool
	Names                                     []string
}

// Folder holds NAME.crt and NAME.key of authorities and leaves.
type Folder string

// Certificate and Key are the paths of one pair.
func (f Folder) Certificate(name string) string { return filepath.Join(string(f), name+".crt") }

// Key is the path of a private key, mode 0600.
func (f Folder) Key(name string) string { return filepath.Join(string(f), name+".key") }

// Authority makes an authority that is absent.
func (f Folder) Authority(name string, now time.Time) error {
	if _, err := os.Stat(f.Certificate(name)); err == nil {
		return nil
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "k3s-" + name + "@headframe-lab"},
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(authorityLife), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	key, err := f.newKey(name)
	if err != nil {
		return err
	}
	return f.sign(name, template, template, key, key)
}

// Ensure makes a leaf that is absent, ends soon or has other names.
func (f Folder) Ensure(leaf Leaf, now time.Time) error {
	if f.isCurrent(leaf, now) {
		return nil
	}
	parent, parentKey, err := f.load(leaf.Authority)
	if err != nil {
		return err
	}
	key, err := f.newKey(leaf.Name)
	if err != nil {
		return err
	}
	usage := x509.ExtKeyUsageClientAuth
	if leaf.Server {
		usage = x509.ExtKeyUsageServerAuth
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: leaf.CommonName},
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(leafLife), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	if leaf.Organization != "" {
		template.Subject.Organization = []string{leaf.Organization}
	}
	for _, name := range leaf.Names {
		if address := net.ParseIP(name); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return f.sign(leaf.Name, template, parent, parentKey, key)
}

// ServiceAccountKey makes the key that signs service account tokens.
func (f Folder) ServiceAccountKey(name string) error {
	if _, err := os.Stat(f.Key(name)); err == nil {
		return nil
	}
	_, err := f.newKey(name)
	return err
}

// Rotate removes the leaves, so that the next start makes new ones. Authorities stay, and with them every client's trust.
func (f Folder) Rotate(leaves []Leaf) error {
	for _, leaf := range leaves {
		if err := os.Remove(f.Certificate(leaf.Name)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

func (f Folder) isCurrent(leaf Leaf, now time.Time) bool {
	certificate, _, err := f.load(leaf.Name)
	if err != nil || now.Add(renewBefore).After(certificate.NotAfter) {
		return false
	}
	var names []string
	for _, address := range certificate.IPAddresses {
		names = append(names, address.String())
	}
	names = append(names, certificate.DNSNames...)
	return equalSets(names, leaf.Names) && certificate.Subject.CommonName == leaf.CommonName
}

func equalSets(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func (f Folder) newKey(name string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return nil, err
	}
	return key, write(f.Key(name), "EC PRIVATE KEY", der, 0o600)
}

func (f Folder) sign(name string, template, parent *x509.Certificate, parentKey, key *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return fmt.Errorf("certificate %s: %w", name, err)
	}
	return write(f.Certificate(name), "CERTIFICATE", der, 0o644)
}

func (f Folder) load(name string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	certificate, err := read(f.Certificate(name))
	if err != nil {
		return nil, nil, err
	}
	key, err := read(f.Key(name))
	if err != nil {
		return nil, nil, err
	}
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.Certificate(name), err)
	}
	private, err := x509.ParseECPrivateKey(key)
	return parsed, private, err
}

func read(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", file)
	}
	return block.Bytes, nil
}

// write replaces a file in one step: a start that is killed half way leaves the old one or the new one.
func write(file, kind string, der []byte, mode os.FileMode) error {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(file+".new", text, mode); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func serial() *big.Int {
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // the kernel has no randomness: nothing here can be done safely
	}
	return number
}
