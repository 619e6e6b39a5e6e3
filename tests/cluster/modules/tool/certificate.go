package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// certificate writes DIR/NAME.crt and DIR/NAME.key, signed by the CA in DIR. It is a server's, and a client's when asked.
func certificate(args []string) error {
	if len(args) < 3 {
		return fmt.Errorf("DIR, NAME and 'server' or 'both' are needed")
	}
	dir, name := args[0], args[1]
	ca, err := tls.LoadX509KeyPair(dir+"/ca.crt", dir+"/ca.key")
	if err != nil {
		return err
	}
	issuer, err := x509.ParseCertificate(ca.Certificate[0])
	if err != nil {
		return err
	}
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if args[2] == "both" {
		usages = append(usages, x509.ExtKeyUsageClientAuth)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, ExtKeyUsage: usages,
		KeyUsage:  x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost"},
	}
	for _, address := range args[3:] {
		ip, subnet, err := net.ParseCIDR(address)
		if err != nil {
			template.IPAddresses = append(template.IPAddresses, net.ParseIP(address))
			continue
		}
		// A pod's address is not known before it runs: all of a small subnet.
		for ip = ip.Mask(subnet.Mask).To4(); subnet.Contains(ip) && ip[3] < 255; ip[3]++ {
			template.IPAddresses = append(template.IPAddresses, append(net.IP{}, ip...))
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), ca.PrivateKey.(crypto.Signer))
	if err != nil {
		return err
	}
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := write(dir+"/"+name+".crt", "CERTIFICATE", signed, 0o644); err != nil {
		return err
	}
	return write(dir+"/"+name+".key", "PRIVATE KEY", plain, 0o600)
}

func write(path, kind string, bytes []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), mode)
}
